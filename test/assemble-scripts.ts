import type { TestProject } from 'vitest/node';
import { assembleAll } from '../runtime/node-scripts.mjs';

/** What is tested is what a node would be sent now, whenever the bundle was made. */
export default function setup(project: TestProject): void {
  assembleAll();
  project.onTestsRerun(() => assembleAll());
}
