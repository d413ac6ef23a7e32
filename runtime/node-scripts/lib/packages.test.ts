import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

const sources = join(import.meta.dirname, '..');

describe('wait_if_unreachable', () => {
  const isAway = (output: string) => {
    const script =
      'source lib/common.sh; source lib/packages.sh; sleep() { :; }; wait_if_unreachable "$1" 60';
    return spawnSync('bash', ['-c', script, '-', output], { cwd: sources }).status === 0;
  };
  const failed = (why: string) =>
    `W: Failed to fetch https://pkgs.k8s.io/core:/stable:/v1.34/deb/InRelease  ${why}`;

  test.each([
    'Could not connect to pkgs.k8s.io:443 (192.0.2.1). - connect (113: No route to host)',
    'Could not connect to pkgs.k8s.io:443 (192.0.2.1), connection timed out',
    'Cannot initiate the connection to pkgs.k8s.io:443 (192.0.2.1). - connect (101: Network is unreachable)',
    'Unable to connect to pkgs.k8s.io:443:',
    "Could not resolve 'pkgs.k8s.io'",
    "Temporary failure resolving 'pkgs.k8s.io'",
    "System error resolving 'pkgs.k8s.io:443'",
    "Something wicked happened resolving 'pkgs.k8s.io:443' (-5 - No address associated with hostname)",
    'Connection timed out [IP: 192.0.2.1 443]',
    'Connection failed [IP: 192.0.2.1 443]',
  ])('is true for: %s', (why) => expect(isAway(failed(why))).toBe(true));

  test.each([
    '404  Not Found [IP: 192.0.2.1 443]',
    '503  Service Unavailable [IP: 192.0.2.1 443]',
    'Hash Sum mismatch',
    'SSL connection failed: error:0A000086:SSL routines::certificate verify failed',
    "Clearsigned file isn't valid, got 'NOSPLIT' (does the network require authentication?)",
  ])('is false for: %s', (why) => expect(isAway(failed(why))).toBe(false));
});
