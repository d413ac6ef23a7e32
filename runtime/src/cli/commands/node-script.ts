import kubeletFacts from '../../../dist/node-scripts/kubelet_facts.sh?raw';
import listImages from '../../../dist/node-scripts/list_images.sh?raw';
import previewKubeadm from '../../../dist/node-scripts/preview_kubeadm.sh?raw';
import { InputError } from '../../errors.ts';
import { nodeScripts } from '../../ssh/scripts.ts';
import { type SummarizedScript, scriptSummaries } from '../script-summaries.ts';

const texts: Readonly<Record<SummarizedScript, string>> = {
  ...nodeScripts,
  preview_kubeadm: previewKubeadm,
  list_images: listImages,
  kubelet_facts: kubeletFacts,
};

/**
 * `k8s-upgrade node-script`: prints a script to pipe into bash on a node.
 *
 * @param given name of the script, with or without `.sh`.
 * @throws InputError for any other name.
 */
export async function nodeScriptCommand(given: string | undefined): Promise<void> {
  // Documents and messages name the file.
  const name = given?.replace(/\.sh$/, '') ?? '';
  if (!isSummarized(name)) {
    throw new InputError('NAME', given ?? 'nothing', `one of ${Object.keys(scriptSummaries).join(', ')}`);
  }
  process.stdout.write(texts[name]);
}

const isSummarized = (name: string): name is SummarizedScript => Object.hasOwn(scriptSummaries, name);
