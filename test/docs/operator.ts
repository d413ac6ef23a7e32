import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect } from 'vitest';
import { credentialKeys } from '../../runtime/src/names.ts';
import { bundle, type Lab } from '../lab/lab.ts';
import { LabNode } from '../lab/nodes/node.ts';
import { root } from './markdown.ts';

const programs = ['kubectl', 'jq', 'curl', 'ssh'].filter((tool) => spawnSync('which', [tool]).status !== 0);
/** Whether the commands of the documents can be run here. */
export const ready = programs.length === 0 && existsSync(bundle);
if (!ready)
  console.log(`test/docs: commands are not run: missing ${[...programs, 'or the bundle'].join(', ')}`);

/** An operator with a shell and access to a lab. */
export class Operator {
  readonly lab: Lab;
  readonly #env: Record<string, string>;

  private constructor(lab: Lab, env: Record<string, string>) {
    this.lab = lab;
    this.#env = env;
  }

  static async at(lab: Lab): Promise<Operator> {
    const bin = join(lab.dir, 'bin');
    mkdirSync(bin);
    const credentials = dirname(lab.settingsFile);
    const program = (name: string, text: string) => {
      writeFileSync(join(bin, name), `#!/bin/sh\n${text}\n`);
      chmodSync(join(bin, name), 0o755);
    };
    program('k8s-upgrade', `exec ${process.execPath} ${bundle} "$@"`);
    // The only command of Vault that the documents run here.
    program(
      'vault',
      `[ "$*" = 'kv get -field=api_bearer_token secret/claude-agent-service' ] && exec cat ${join(credentials, credentialKeys.agentToken)}`,
    );
    program('ssh', `exec ${spawnSync('which', ['ssh']).stdout.toString().trim()} -F ${sshConfig(lab)} "$@"`);
    return new Operator(lab, {
      PATH: `${bin}:${process.env.PATH}`,
      HOME: lab.dir,
      KUBECONFIG: await lab.kubeconfig(),
      SETTINGS: lab.settingsFile,
      PROMETHEUS: lab.prometheus.url,
      PUSHGATEWAY: lab.pushgateway.url,
      AGENT_SERVICE: lab.agentService.url,
    });
  }

  /**
   * Runs commands, in a checkout of this project unless another directory is given.
   *
   * @returns stdout and stderr
   * @throws when the exit code is not 0
   */
  async types(text: string, env: Record<string, string> = {}, cwd: string = root): Promise<string> {
    const child = spawn('bash', ['--norc', '-euo', 'pipefail', '-c', text], {
      cwd,
      env: { ...this.#env, ...env },
      // bash believes that sshd has started it when its standard input is a socket.
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        output += chunk;
      });
    }
    const [code] = await once(child, 'close');
    expect(code, output).toBe(0);
    return output;
  }
}

/** Writes an ssh_config with the names, addresses and keys of the nodes. @returns its path. */
function sshConfig(lab: Lab): string {
  const [config, knownHosts] = [join(lab.dir, 'ssh_config'), join(lab.dir, 'known_hosts')];
  const nodes = [...lab.nodes.values()];
  const hosts = nodes.map(
    ({ name, address, port }) => `Host ${name}\n  HostName ${address}\n  Port ${port}\n`,
  );
  const all = `Host *\n  IdentityFile ${lab.privateKeyFile}\n  UserKnownHostsFile ${knownHosts}\n  BatchMode yes\n`;
  writeFileSync(config, [...hosts, all].join(''));
  writeFileSync(
    knownHosts,
    nodes.map(({ address, port, hostKey }) => `[${address}]:${port} ${hostKey}\n`).join(''),
  );
  expect(LabNode.user).toBe('wizard');
  return config;
}

export const releases = (lab: Lab) =>
  Object.fromEntries([...lab.nodes.values()].map(({ name, release }) => [name, release]));
export const everywhere = (lab: Lab, release: string) =>
  Object.fromEntries([...lab.nodes.keys()].map((name) => [name, release]));
