import { parseAllDocuments } from 'yaml';
import previewScript from '../../../dist/node-scripts/preview_kubeadm.sh?raw';
import type { ClusterNode } from '../../cluster/nodes.ts';
import { UpgradeError } from '../../errors.ts';
import type { GateContext } from '../gate.ts';
import type { Document } from './differences.ts';

/** A file that kubeadm replaces in an upgrade. */
export interface FilePair {
  /** What it holds. */
  readonly present: Document;
  /** What kubeadm would write to it. */
  readonly written: Document;
}

/** What kubeadm would write on a node. */
export interface Preview {
  /** By path. */
  readonly files: ReadonlyMap<string, FilePair>;
  /**
   * The objects of the add-ons that kubeadm would write; undefined where the installed kubeadm cannot tell,
   * which is before 1.32, and on a worker.
   */
  readonly addOns: readonly Document[] | undefined;
  /** Names of the proxy variables that kubeadm passes to kube-proxy, which a dry run leaves out. */
  readonly proxies: readonly string[];
  /** Why kubeadm cannot tell what it would write for etcd; undefined when it can, or has none. */
  readonly unknownEtcd: string | undefined;
}

/** What each check has read. */
const checks = new WeakMap<GateContext, Map<string, Promise<Preview>>>();

/**
 * Lets the kubeadm that is installed on the node print what it would write. Read once for all gates of one
 * check. It is the installed kubeadm and not the target's, so that what it would change is what somebody else
 * has changed, and not what the next release does differently.
 *
 * @throws UpgradeError when it cannot be found out; ConnectionError when the node cannot be reached.
 */
export function previewOf(ctx: GateContext, node: ClusterNode): Promise<Preview> {
  const known = checks.get(ctx) ?? new Map<string, Promise<Preview>>();
  checks.set(ctx, known);
  const preview = known.get(node.name) ?? read(ctx, node);
  known.set(node.name, preview);
  return preview;
}

async function read({ shell, settings }: GateContext, node: ClusterNode): Promise<Preview> {
  const { patches } = settings.kubeadm;
  const words = ['bash', '-s', '--', ...(patches === undefined ? [] : ['--patches', patches])];
  const { code, output } = await shell.read(node, words, previewScript);
  return parsePreview(node.name, code, output);
}

/**
 * @param code the exit code of preview_kubeadm.sh.
 * @param output what preview_kubeadm.sh printed.
 * @throws UpgradeError that names the node, and what kubeadm or the script gives as the reason.
 */
export function parsePreview(node: string, code: number, output: string): Preview {
  const lines = output.split('\n');
  const unknown = (why: string) =>
    new UpgradeError('blocked', `what kubeadm would change on ${node} cannot be found out: ${why}`);
  if (code !== 0 || !lines.includes('end')) throw unknown(reasonIn(lines));
  const present = new Map<string, string>();
  const written = new Map<string, string>();
  const unknownEtcd = /^unknown etcd (\S+)$/m.exec(output)?.[1];
  let addOns: Preview['addOns'];
  for (const line of lines) {
    const [, path, text] = /^file (\S+) (\S*)$/.exec(line) ?? [];
    if (path !== undefined) present.set(path, decode(text));
    const [, phase, printed] = /^phase (\S+) (\S*)$/.exec(line) ?? [];
    if (phase === 'addon') addOns = objectsIn(decode(printed));
    else if (phase !== undefined)
      for (const [file, content] of filesIn(decode(printed))) written.set(file, content);
  }
  const isKnown = ([path]: [string, string]) => unknownEtcd === undefined || !path.endsWith('/etcd.yaml');
  const files = [...present].filter(isKnown).map(([path, text]) => {
    const content = written.get(path);
    if (content === undefined) throw unknown(`it does not say what it would write to ${path}`);
    const documents = { present: documentIn(text), written: documentIn(content) };
    if (documents.present === undefined || documents.written === undefined)
      throw unknown(`${path} is no YAML object`);
    return [path, { present: documents.present, written: documents.written }] as const;
  });
  return {
    files: new Map(files),
    addOns,
    proxies: [...output.matchAll(/^proxy (\w+)$/gm)].map(([, name = '']) => name),
    unknownEtcd: unknownEtcd === undefined ? undefined : decode(unknownEtcd).trim(),
  };
}

/** Never a line with the content of a file, which may hold secrets. At most 300 characters. */
function reasonIn(lines: readonly string[]): string {
  const error = lines.findLast((line) => line.startsWith('error: '))?.slice(7);
  const last = lines.findLast((line) => line !== '' && !/^(file|phase|unknown|proxy) /.test(line));
  return (error ?? last ?? 'its script was interrupted').slice(0, 300);
}

const decode = (base64 = ''): string => Buffer.from(base64, 'base64').toString();

/** kubeadm before 1.33 indents the content with a tab. What follows it begins with `[`. */
function filesIn(printed: string): [path: string, content: string][] {
  const pattern = /\[dryrun\] Would write file "([^"]+)" with content:\n((?:(?!\[).*(?:\n|$))*)/g;
  return [...printed.matchAll(pattern)].map(([, path = '', content = '']) => [
    path,
    content.replace(/^\t/gm, ''),
  ]);
}

/** The manifests among the messages, each after `---`, of a patched one in the same line. */
function objectsIn(printed: string): Document[] {
  const manifests = [...printed.matchAll(/^---\n?((?:(?!\[|---).*(?:\n|$))*)/gm)];
  return manifests.map(([, text = '']) => documentIn(text)).filter((one) => one !== undefined);
}

function documentIn(text: string): Document | undefined {
  const [document] = parseAllDocuments(text);
  if (document === undefined || !('toJS' in document) || document.errors.length > 0) return undefined;
  const value = document.toJS() as unknown;
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Document)
    : undefined;
}
