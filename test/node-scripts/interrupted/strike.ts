import { mkdirSync, mkdtempSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { type Bench, type Ended, scriptText } from '../harness.ts';

/**
 * What changes a node, and what is asked about it by a program of some weight. A stub's own calls of these count too: so
 * apt-get is killed between two packages, and kubeadm between two static pods. `tee`, `cat` and filters run beside others and
 * change nothing.
 */
const counted = (
  'apt-cache apt-get apt-mark bash chmod cp crictl curl dpkg dpkg-query gpg install kubeadm kubelet mkdir mktemp mv rm sha256sum ' +
  'sleep sync systemctl touch truncate'
).split(' ');

const wrapper = join(import.meta.dirname, 'strike.sh');

/** `before` the call has any effect, or `after` it took effect and before the script hears of it. */
export type Phase = 'before' | 'after';

export interface Struck extends Ended {
  /** Each counted call as a command line, in order of their starts. */
  readonly calls: readonly string[];
}

/**
 * Runs a node script and kills it, and all that it started, with SIGKILL at one of its calls.
 *
 * @param at the call, from 1; 0 for none.
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
