import { parse } from 'yaml';
import { z } from 'zod';
import factsScript from '../../../dist/node-scripts/kubelet_facts.sh?raw';
import type { ClusterNode } from '../../cluster/nodes.ts';
import { UpgradeError } from '../../errors.ts';
import type { GateContext } from '../gate.ts';
import { crossingNodes } from './before-minor.ts';

/** A flag or a feature gate that is set, and where. */
export interface Found {
  /** Without its value: `--node-ip`, `NodeSwap`. */
  readonly name: string;
  /** The path of the file on the node, or the pod, `namespace/name`. */
  readonly file: string;
}

/** How a node's kubelet is started. */
export interface NodeFacts {
  /** The cgroup version of the running node. */
  readonly cgroup: 'v1' | 'v2';
  /** Command-line flags, from environment files and systemd units. */
  readonly flags: readonly Found[];
  /** From config.yaml and from the flag `--feature-gates`. */
  readonly featureGates: readonly Found[];
  /** From config.yaml; undefined where it is not set. */
  readonly failCgroupV1: boolean | undefined;
}

/** Where kubeadm writes the kubelet's configuration. */
const configFile = '/var/lib/kubelet/config.yaml';
const configSchema = z.object({
  /** @default depends on the release */
  failCgroupV1: z.boolean().optional(),
  /** Values by name. @default none */
  featureGates: z.record(z.string(), z.unknown()).nullish(),
});

/** What each check has read. */
const checks = new WeakMap<GateContext, Promise<ReadonlyMap<ClusterNode, NodeFacts>>>();

/**
 * The facts of every node whose minor is going to change. Read once for all gates of one check.
 *
 * @throws UpgradeError when the files of a node cannot be read.
 */
export function nodeFacts(ctx: GateContext): Promise<ReadonlyMap<ClusterNode, NodeFacts>> {
  const known = checks.get(ctx) ?? readAll(ctx);
  checks.set(ctx, known);
  return known;
}

async function readAll(ctx: GateContext): Promise<ReadonlyMap<ClusterNode, NodeFacts>> {
  const read = async (node: ClusterNode): Promise<[ClusterNode, NodeFacts]> => {
    const { code, output } = await ctx.shell.read(node, ['bash', '-s'], factsScript);
    return [node, parseFacts(node.name, code, output)];
  };
  return new Map(await Promise.all(crossingNodes(ctx).map(read)));
}

/**
 * @param code the exit code of kubelet_facts.sh.
 * @param output what kubelet_facts.sh printed.
 * @throws UpgradeError that names the node and what is missing.
 */
export function parseFacts(node: string, code: number, output: string): NodeFacts {
  const lines = output.split('\n');
  if (code !== 0 || !lines.includes('end')) {
    const lastLine = lines.at(-1) || 'no output';
    throw new UpgradeError('blocked', `the kubelet’s files on ${node} could not be read: ${lastLine}`);
  }
  const cgroup = /^cgroup (v[12])$/m.exec(output)?.[1];
  if (cgroup !== 'v1' && cgroup !== 'v2')
    throw new UpgradeError('blocked', `${node} has no /sys/fs/cgroup that shows its cgroup version`);
  const files = lines.flatMap((line) => fileOf(line));
  const config = files.find((file) => file.path === configFile);
  if (config === undefined)
    throw new UpgradeError('blocked', `${node} has no ${configFile}: is its kubelet configured elsewhere?`);
  const { failCgroupV1, featureGates } = parseConfig(node, config.text);
  const flags = files.filter((file) => file !== config).flatMap(flagsOf);
  const configured = Object.keys(featureGates ?? {}).map((name) => ({ name, file: configFile }));
  return { cgroup, failCgroupV1, flags, featureGates: [...configured, ...flags.flatMap(gatesOf)] };
}

interface FileText {
  readonly path: string;
  readonly text: string;
}

interface Flag extends Found {
  readonly value: string;
}

function fileOf(line: string): FileText[] {
  const [, path, encoded = ''] = /^file (\S+) ([A-Za-z0-9+/=]*)$/.exec(line) ?? [];
  return path === undefined ? [] : [{ path, text: Buffer.from(encoded, 'base64').toString() }];
}

function parseConfig(node: string, text: string): z.output<typeof configSchema> {
  try {
    return configSchema.parse(parse(text));
  } catch (cause) {
    throw new UpgradeError('blocked', `${configFile} on ${node} is not a valid KubeletConfiguration`, {
      cause,
    });
  }
}

/** The flags in an environment file (`KUBELET_EXTRA_ARGS="--a=b --c d"`) or a unit (`ExecStart=… --a=b`). */
function flagsOf({ path, text }: FileText): Flag[] {
  const bare = text.replace(/^\s*[#;].*$/gm, '');
  return [...bare.matchAll(/(?<![\w-])(--[a-z][a-z0-9-]*)(?:[= ]([^\s"'\\]+))?/g)].map(
    ([, name = '', value = '']) => ({ name, value, file: path }),
  );
}

/** `--feature-gates=A=true,B=false` → A and B. */
export function gatesOf({ name, value, file }: Flag): Found[] {
  if (name !== '--feature-gates') return [];
  return value.split(',').map((pair) => ({ name: pair.split('=')[0] ?? '', file }));
}
