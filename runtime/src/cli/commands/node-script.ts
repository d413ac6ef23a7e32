import kubeletFacts from '../../../dist/node-scripts/kubelet_facts.sh?raw';
import { InputError, UpgradeError } from '../../errors.ts';
import { nodeScripts } from '../../ssh/scripts.ts';
import { type SummarizedScript, scriptSummaries } from '../script-summaries.ts';

const texts: Readonly<Record<SummarizedScript, string>> = { ...nodeScripts, kubelet_facts: kubeletFacts };

/**
 * `k8s-upgrade node-script`: prints a script to pipe into bash on a node.
 *
 * @param given name of the script, with or without `.sh`.
 * @throws InputError for any other name; UpgradeError when standard output cannot be written.
 */
export async function nodeScriptCommand(given: string | undefined): Promise<void> {
  // Documents and messages name the file.
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
      // The reader may stop early: bash does not read the rest of a script that printed its --help.
      if (!error || error.code === 'EPIPE') resolve();
      else reject(new UpgradeError('failed', `the script could not be printed: ${error.message}`));
    };
    // The stream also emits the error; without a listener that is a crash.
    process.stdout.on('error', ended).write(text, ended);
  });
}
