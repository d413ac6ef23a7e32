import { describeAccess } from './access.ts';
import { describeAdmission } from './admission.ts';
import { describeEvictions } from './evictions.ts';
import { describeJobs } from './jobs.ts';
import { describeKubectl } from './kubectl.ts';
import { describeReads } from './reads.ts';
import type { StartTarget } from './target.ts';
import { describeWrites } from './writes.ts';

/** What the pipeline relies on in an API server. Run against the lab's server and a real one. */
export function describeContract(start: StartTarget): void {
  for (const part of [
    describeReads,
    describeWrites,
    describeAccess,
    describeAdmission,
    describeEvictions,
    describeJobs,
    describeKubectl,
  ])
    part(start);
}
