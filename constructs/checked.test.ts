import { describe, expect, it } from 'vitest';
import { leastProps, pipeline, settings } from '../test/constructs/synthesis.ts';
import type { UpgradePipelineProps } from './index.ts';

type Wrong = Partial<UpgradePipelineProps>;
const { alerts } = leastProps;
const withSettings = (more: object): Wrong => ({ settings: { ...settings, ...more } });

/** What is wrong, the construct that reports it, the prop, and what is allowed. */
const cases: [string, Wrong, string, string, string][] = [
  ['a word as a schedule', { schedule: 'weekly' }, 'detection', 'schedule: "weekly"', 'five cron fields'],
  ['a sixth field', { schedule: '0 0 12 * * 0' }, 'detection', 'schedule', 'five cron fields'],
  ['a minute 60', { schedule: '60 12 * * 0' }, 'detection', 'schedule', 'five cron fields'],
  ['Sunday as 7', { schedule: '0 12 * * 7' }, 'detection', 'schedule', 'Sunday is 0'],
  ['a day that never comes', { schedule: '0 12 31 2 *' }, 'detection', 'schedule', 'five cron fields'],
  ['an unknown time zone', { timeZone: 'Mars/Olympus' }, 'detection', 'timeZone: "Mars/Olympus"', 'Etc/UTC'],
  [
    'an image without a tag',
    { image: 'registry.example:5000/upgrade' },
    'detection',
    'image',
    'a pinned tag or a digest',
  ],
  [
    'an image with a moving tag',
    { image: 'registry.example/upgrade:latest' },
    'execution',
    'image',
    'a pinned tag or a digest',
  ],
  [
    'a digest that is too short',
    { image: 'registry.example/upgrade:1@sha256:12' },
    'execution',
    'image',
    'a pinned tag or a digest',
  ],
  [
    'a node listed twice',
    withSettings({ nodes: { workers: ['k8s-node1', 'k8s-node1'] } }),
    '',
    'settings: nodes.workers',
    'expected every node once',
  ],
  [
    'a node that is both a control-plane node and a worker',
    withSettings({ nodes: { controlPlane: ['k8s-master'], workers: ['k8s-master'] } }),
    '',
    'settings: nodes.workers',
    'not in both',
  ],
  [
    'an empty node list',
    withSettings({ nodes: { workers: [] } }),
    '',
    'settings.nodes.workers: []',
    'at least one name',
  ],
  [
    'an address as a node',
    withSettings({ nodes: { workers: ['10.0.20.101'] } }),
    '',
    'nodes.workers.0',
    'not an address',
  ],
  [
    'a duration that does not parse',
    withSettings({ timing: { soak: '10 minutes' } }),
    '',
    'settings: timing.soak: given "10 minutes"',
    'a number with a unit',
  ],
  ['an unknown setting', withSettings({ soak: '10m' }), '', 'unknown "soak"', 'settings'],
  [
    'a group of rules that is not deployed',
    withSettings({ prometheus: { ...settings.prometheus, ruleGroups: ['Upgrade Gate'] } }),
    'alerts',
    'settings.prometheus.ruleGroups: "Upgrade Gate"',
    'one of Upgrade Gates',
  ],
  [
    'the alerts about the pipeline as a gate (F7)',
    withSettings({ prometheus: { ...settings.prometheus, ruleGroups: ['Upgrade Pipeline'] } }),
    'alerts',
    'settings.prometheus.ruleGroups: "Upgrade Pipeline"',
    'one of Upgrade Gates',
  ],
  [
    'a Vault path with the API’s data/',
    { credentials: { vaultPath: 'secret/data/k8s-upgrade' } },
    'credentials',
    'vaultPath: "secret/data/k8s-upgrade"',
    'without "data/"',
  ],
  [
    'a Vault path without a mount',
    { credentials: { vaultPath: 'k8s-upgrade' } },
    'credentials',
    'vaultPath',
    'mount/path',
  ],
  [
    'a second Vault mount',
    { credentials: { vaultPath: 'secret/k8s-upgrade', agentTokenPath: 'kv/claude' } },
    'credentials',
    'agentTokenPath: "kv/claude"',
    'expected the mount of vaultPath, secret/',
  ],
  [
    'a Secret name that Kubernetes would refuse',
    { imagePullSecrets: ['Registry_Login'] },
    'detection',
    'imagePullSecrets: "Registry_Login"',
    'lower-case letters',
  ],
  [
    'a PriorityClass name that Kubernetes would refuse',
    { priorityClassName: 'System Critical' },
    'execution',
    'priorityClassName: "System Critical"',
    'lower-case letters',
  ],
  [
    'memory that is no quantity',
    { resources: { execution: { cpu: '50m', memory: '256 MB', memoryLimit: '256Mi' } } },
    'execution',
    'resources.memory: "256 MB"',
    '256Mi',
  ],
  [
    'port 0 of the Pushgateway’s pods',
    { egress: { podPorts: { pushgateway: 0 } } },
    'egress',
    'podPorts.pushgateway: 0',
    '65535',
  ],
  ['port 0 of the API server', { egress: { apiServerPorts: [0] } }, 'egress', 'apiServerPorts: 0', '65535'],
  ['nodes without a prefix', { egress: { nodeCidrs: ['10.0.20.0'] } }, 'egress', 'nodeCidrs', '10.0.20.0/24'],
  ['DNS without a prefix', { egress: { dnsCidrs: ['10.0.20.53'] } }, 'egress', 'dnsCidrs', '10.0.20.0/24'],
];

describe('synthesis refuses', () => {
  it.each(cases)('%s', (_, props, construct, prop, allowed) => {
    const path = ['stack/pipeline', construct].filter(Boolean).join('/');
    const refused = refusal(props);
    expect(refused).toContain(`[${path}] `);
    expect(refused).toContain(prop);
    expect(refused).toContain(allowed);
  });

  it('every wrong prop at once', () => {
    const refused = refusal({ schedule: 'weekly', image: 'x', credentials: { vaultPath: '/' } });
    for (const prop of ['schedule', 'image', 'vaultPath']) expect(refused).toContain(`${prop}: `);
  });

  it('wrong settings with a single error, though several parts read them', () => {
    const refused = refusal(withSettings({ timing: { soak: '10 minutes' } }));
    expect(refused.match(/timing\.soak/g)).toHaveLength(1);
  });
});

describe('synthesis accepts', () => {
  const digest = 'a'.repeat(64);
  it.each([
    [{ image: 'registry.example:5000/team/upgrade:1.2.3' }],
    [{ image: `registry.example/upgrade@sha256:${digest}` }],
    [{ image: `registry.example/upgrade:latest-is-not-it@sha256:${digest}` }],
    [{ schedule: '*/15 0-6,20 1 jan-mar mon' }],
    [{ timeZone: 'Europe/London' }],
    [withSettings({ prometheus: { ...settings.prometheus, ruleGroups: ['Upgrade Gates', 'Storage'] } })],
  ])('%j', (props: Wrong) => {
    expect(() => pipeline({ ...props, alerts: { ...alerts, otherGroups: ['Storage'] } })).not.toThrow();
  });
});

function refusal(props: Wrong): string {
  try {
    pipeline(props);
  } catch (error) {
    return String(error);
  }
  return 'synthesis succeeded';
}
