import kubeletFacts from '../../../dist/node-scripts/kubelet_facts.sh?raw';
import { InputError, UpgradeError } from '../../errors.ts';
import { nodeScripts } from '../../ssh/scripts.ts';
import { type SummarizedScript, scriptSummaries } from '../script-summaries.ts';

const texts: Readonly<Record<SummarizedScript, string>> = { ...nodeScripts, kubelet_facts: kubeletFacts };

/** Prints a script, to be piped into bash on a node. */
export async function nodeScriptCommand(given: string | undefined): Promise<void> {
  // Documents and messages call it by its file.
  const name = given?.replace(/\.sh$/, '') ?? '';
  if (!isSummarized(name)) {
    throw new InputError('NAME', given ?? 'nothing', `one of ${Object.keys(scriptSummaries).join(', ')}`);
  }
  await print(texts[name]);
}

const isSummarized = (name: string): name is SummarizedScript => Object.hasOwn(scriptSummaries, name);

function print(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const ended = (error?: NodeJS.ErrnoException | null) => {
      // Who reads may have had enough: a script that was asked for its --help does not read the rest of itself.
      if (!error || error.code === 'EPIPE') resolve();
      else reject(new UpgradeError('failed', `the script could not be printed: ${error.message}`));
    };
    // An error that is only told to the callback, and not listened for, is a crash.
    process.stdout.on('error', ended).write(text, ended);
  });
}
