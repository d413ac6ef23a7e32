/** One thing that kubeadm would write differently from what is there. */
export interface Difference {
  /** What it is called in `gates.acceptChanges`: `kubelet maxPods`, `kube-apiserver --v`. */
  readonly name: string;
  /** What kubeadm would do with it. */
  readonly effect: 'add' | 'change' | 'drop';
  /** ` 250 → 110` or ` 250`; empty where a value may be long or secret. */
  readonly values: string;
}

/** `drop kubelet maxPods 250 and change kube-apiserver --v` */
export function describeDifferences(found: readonly Difference[]): string {
  const parts = (['drop', 'change', 'add'] as const).map((effect) => {
    const some = found.filter((one) => one.effect === effect);
    return some.length === 0 ? '' : `${effect} ${some.map(({ name, values }) => name + values).join(', ')}`;
  });
  return parts.filter(Boolean).join(' and ');
}

/** Values that are as good as absent, by the name of their field. */
export type Defaults = Readonly<Record<string, readonly unknown[] | 'any'>>;

/** The document of one file or object; anything that YAML or JSON can hold. */
export type Document = Readonly<Record<string, unknown>>;

/**
 * Finds what differs between the document that is there and the one that kubeadm would write. A block that
 * only one of them has is one difference. Items of lists are found by their names, flags by theirs, so that
 * order does not matter. Images do not count, nor do values that are as good as none, such as `{}` and `0s`.
 * Values of flags and variables are left out of the text: they may be secret. Pure.
 *
 * @param subject the first word of the names: the component.
 * @param defaults values that are as good as absent. @default none
 */
export function differences(
  subject: string,
  now: Document,
  then: Document,
  defaults: Defaults = {},
): Difference[] {
  return compare([], now, then, defaults).map(({ path, ...change }) => ({
    ...change,
    name: `${subject} ${shortened(subject, path)}`,
  }));
}

/** Without what every field of a pod begins with, or every field of the component's own container. */
function shortened(subject: string, path: string): string {
  const inPod = path.replace(/^(spec\.)?(template\.)?(spec\.)?/, '');
  const own = `containers.${subject}.`;
  return inPod.startsWith(own) ? inPod.slice(own.length) : inPod;
}

interface Change extends Omit<Difference, 'name'> {
  readonly path: string;
}

function compare(path: readonly string[], now: unknown, then: unknown, defaults: Defaults): Change[] {
  const isAbsent = (value: unknown) => isNothing(value) || isDefault(path.at(-1) ?? '', value, defaults);
  if (isAbsent(now) && isAbsent(then)) return [];
  const text = path.join('.');
  // The value of a variable may be secret, even when it is a number.
  const show = (value: unknown) => (path.includes('env') ? '' : shown(value));
  if (isAbsent(then)) return [{ path: text, effect: 'drop', values: show(now) }];
  if (isAbsent(now)) return [{ path: text, effect: 'add', values: show(then) }];
  const [before, after] = [asMap(path, now), asMap(path, then)];
  if (before !== undefined && after !== undefined) {
    const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
    return [...keys].flatMap((key) => compare([...path, key], before[key], after[key], defaults));
  }
  if (comparable(now) === comparable(then)) return [];
  const [from, to] = [show(now), show(then)];
  return [{ path: text, effect: 'change', values: from && to ? `${from} →${to}` : '' }];
}

/** Absent, or a value that is as good as absent. Of durations kubeadm writes `0s` where none is set. */
function isNothing(value: unknown): boolean {
  if (value === undefined || value === null || value === '' || value === '0s') return true;
  return typeof value === 'object' && Object.values(value).every(isNothing);
}

/** A default of the API server, or an object of nothing else. */
function isDefault(field: string, value: unknown, defaults: Defaults): boolean {
  const known = defaults[field];
  if (known === 'any') return true;
  if (typeof value !== 'object' || value === null) return known?.includes(value) ?? false;
  return Object.entries(value).every(([key, one]) => isNothing(one) || isDefault(key, one, defaults));
}

/** Lists whose items have a name, and what holds it. */
const namedBy: Readonly<Record<string, string>> = {
  containers: 'name',
  initContainers: 'name',
  env: 'name',
  volumes: 'name',
  volumeMounts: 'mountPath',
  ports: 'containerPort',
  hostAliases: 'ip',
};

/** A map, or a list of named items as one; undefined for anything else. */
function asMap(path: readonly string[], value: unknown): Document | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  if (!Array.isArray(value)) return isContainer(path) ? withFlags(value as Document) : (value as Document);
  const key = namedBy[path.at(-1) ?? ''];
  if (key === undefined) return undefined;
  const entries = value.map((item): [string, unknown] => [String(item?.[key]), item]);
  return new Set(entries.map(([name]) => name)).size < value.length ? undefined : Object.fromEntries(entries);
}

const isContainer = (path: readonly string[]): boolean => /^(init)?containers$/i.test(path.at(-2) ?? '');

/** A container, with each flag in place of `command` and `args`, and without its image. */
function withFlags({ command, args, image: _, ...container }: Document): Document {
  const words = [command, args].flatMap((list) => (Array.isArray(list) ? list.map(String) : []));
  return { ...flagsIn(words), ...container };
}

/** `--a=1`, `--a 1` and `--a` → a list of values by flag; the other words are `command`. */
function flagsIn(words: readonly string[]): Document {
  const found: Record<string, string[]> = {};
  for (const [i, word] of words.entries()) {
    const [flag = '', ...value] = word.split('=');
    const isFlag = flag.startsWith('--');
    const next = words[i + 1];
    const separate = isFlag && value.length === 0 && next !== undefined && !next.startsWith('-');
    const previous = words[i - 1];
    const isValue = !isFlag && previous?.startsWith('--') && !previous.includes('=');
    if (isValue) continue;
    const name = isFlag ? flag : 'command';
    found[name] = [...(found[name] ?? []), separate ? next : isFlag ? value.join('=') || 'true' : word];
  }
  return found;
}

/** Equal texts for equal values. */
function comparable(value: unknown): string {
  if (typeof value === 'string' && isDuration.test(value)) return `${secondsOf(value)}s`;
  if (typeof value !== 'object' || value === null) return String(value);
  if (Array.isArray(value)) return JSON.stringify(value.map(comparable));
  const entries = Object.entries(value).filter(([, one]) => !isNothing(one));
  return JSON.stringify(entries.map(([key, one]) => [key, comparable(one)]).sort());
}

const isDuration = /^(\d+h)?(\d+m)?(\d+s)?$/;

function secondsOf(duration: string): number {
  const [, h, m, s] = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/.exec(duration) ?? [];
  return Number(h ?? 0) * 3600 + Number(m ?? 0) * 60 + Number(s ?? 0);
}

/** A number, a quantity or a switch after a space. Empty for anything longer, and for text. */
function shown(value: unknown): string {
  const isShort = typeof value === 'string' && /^\d[\d.]{0,11}[a-zA-Z%]{0,2}$/.test(value);
  return isShort || typeof value === 'number' || typeof value === 'boolean' ? ` ${value}` : '';
}
