import type { Stage } from '../context.ts';
import type { StageName } from '../stage-names.ts';
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

/** Stages that change no node: a run of only these leaves no rollout behind. */
export const harmlessStages: readonly StageName[] = ['preflight', 'snapshot'];
