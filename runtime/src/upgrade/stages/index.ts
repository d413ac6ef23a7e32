import type { StageName } from '../../rollout/stages.ts';
import type { Stage } from '../context.ts';
import { containerd } from './containerd.ts';
import { master } from './master.ts';
import { postflight } from './postflight.ts';
import { preflight } from './preflight.ts';
import { repo } from './repo.ts';
import { snapshot } from './snapshot.ts';
import { workers } from './workers.ts';

/** Every stage under its name. */
export const stages: Readonly<Record<StageName, Stage>> = {
  preflight,
  snapshot,
  containerd,
  repo,
  master,
  workers,
  postflight,
};

/** Stages that change nodes: a run without any of these begins no rollout. */
export const changingStages: readonly StageName[] = ['containerd', 'repo', 'master', 'workers'];
