import { mkdirSync, mkdtempSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { type Bench, type Ended, scriptText } from '../harness.ts';

/**
 * Programs whose calls are counted: those that change the node, and the larger ones that inspect it. Calls by
 * a stub count too, so apt-get is killed between two packages and kubeadm between two static pods. `tee`,
 * `cat` and filters are not counted: they run in parallel with others and change nothing.
 */
const counted = (
  'apt-cache apt-get apt-mark bash chmod cp crictl curl dpkg dpkg-deb dpkg-query gpg install kubeadm kubectl kubelet mkdir mktemp mv rm sha256sum ' +
  'sleep sync systemctl touch truncate'
).split(' ');

const wrapper = join(import.meta.dirname, 'strike.sh');

/** `before` the call has any effect, or `after` its effect but before it returns to the script. */
export type Phase = 'before' | 'after';

/** Result of {@link strike}. */
export interface Struck extends Ended {
  /** The counted calls as command lines, in order of start. */
  readonly calls: readonly string[];
}

/**
 * Runs a node script, and kills it and its children with SIGKILL at one of its calls.
 *
 * @param at number of the call, from 1; 0 kills nothing.
 */
export async function strike(
  bench: Bench,
  script: string,
  args: readonly string[],
  at = 0,
  phase: Phase = 'before',
): Promise<Struck> {
  const directory = mkdtempSync(join(bench.directory, 'strike-'));
  const [bin, calls] = [join(directory, 'bin'), join(directory, 'calls')];
  mkdirSync(bin);
  mkdirSync(calls);
  for (const name of counted) symlinkSync(wrapper, join(bin, name));
  const ended = await bench.bash(['-s', '--', ...args], scriptText(script), {
    PATH: `${bin}:${bench.node.paths.bin}`,
    STRIKE_BIN: bench.node.paths.bin,
    STRIKE_CALLS: calls,
    STRIKE_AT: String(at),
    STRIKE_PHASE: phase,
  }).ended;
  return { ...ended, calls: callsIn(calls) };
}

function callsIn(directory: string): string[] {
  const numbers = readdirSync(directory).map(Number);
  return numbers.sort((a, b) => a - b).map((n) => readFileSync(join(directory, String(n)), 'utf8').trim());
}
