import { type StageName, stageRows } from '../../rollout/stages.ts';
import type { Stage, StageWork } from '../context.ts';
import { containerd } from './containerd.ts';
import { master } from './master.ts';
import { postflight } from './postflight.ts';
import { preflight } from './preflight.ts';
import { repo } from './repo.ts';
import { snapshot } from './snapshot.ts';
import { workers } from './workers.ts';

const work: Readonly<Record<StageName, StageWork>> = {
  preflight,
  snapshot,
  containerd,
  repo,
  master,
  workers,
  postflight,
};

const stages: readonly Stage[] = stageRows.map((row) => ({ ...row, ...work[row.name] }));

/** The stages of these names, in the order in which they run. */
export const stagesOf = (names: readonly StageName[]): Stage[] =>
  stages.filter(({ name }) => names.includes(name));
