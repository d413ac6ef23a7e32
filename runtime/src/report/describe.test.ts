import { expect, describe as group, it, test } from 'vitest';
import { parseRelease } from '../release.ts';
import { describe } from './describe.ts';
import type { NodePhase, RunEvent } from './events.ts';
import { slackSink, slackText } from './slack.ts';

const from = parseRelease('test', '1.34.2');
const to = parseRelease('test', '1.34.5');
const node = (phase: NodePhase, more: { seconds?: number; pods?: number } = {}): RunEvent => ({
  type: 'node',
  node: 'k8s-node4',
  phase,
  from,
  to,
  ...more,
});
const started = (resumed: boolean): RunEvent => ({
  type: 'run-started',
  target: to,
  kind: 'patch',
  running: from,
  stages: ['preflight', 'snapshot'],
  resumed,
  nodes: [],
});
const ended = (outcome: 'done' | 'held' | 'blocked' | 'failed', hint?: string): RunEvent => ({
  type: 'run-ended',
  outcome,
  target: to,
  message: 'the message',
  ...(hint && { hint }),
});

/** Event, its text, and the prefix of that text in Slack; undefined when nothing is posted. */
const table: [event: RunEvent, text: string, slack: string | undefined][] = [
  [started(false), 'starting patch upgrade 1.34.2 → 1.34.5 (preflight, snapshot)', ':arrow_up: Kubernetes: '],
  [started(true), 'resuming patch upgrade 1.34.2 → 1.34.5 (preflight, snapshot)', ':arrow_up: Kubernetes: '],
  [{ type: 'stage-started', stage: 'repo', summary: 'point it' }, 'stage repo: point it', undefined],
  [{ type: 'stage-skipped', stage: 'repo', why: 'a patch' }, 'stage repo: nothing to do, a patch', undefined],
  [{ type: 'stage-done', stage: 'repo', seconds: 125 }, 'stage repo: done in 2m5s', ':heavy_check_mark: '],
  [node('preparing'), 'k8s-node4: fetching packages and images for 1.34.5', undefined],
  [node('prepared'), 'k8s-node4: packages and images for 1.34.5 are there', undefined],
  [node('running-kubeadm'), 'k8s-node4: kubeadm 1.34.2 → 1.34.5, while the node serves', undefined],
  [node('ran-kubeadm', { seconds: 61 }), 'k8s-node4: kubeadm is done in 1m1s', undefined],
  [node('draining'), 'k8s-node4: draining (1.34.2 → 1.34.5)', ''],
  [node('drained', { pods: 7, seconds: 1.52 }), 'k8s-node4: drained, 7 pods in 1.5s', ''],
  [node('drained'), 'k8s-node4: drained, 0 pods', ''],
  [node('updating'), 'k8s-node4: upgrading 1.34.2 → 1.34.5', undefined],
  [node('updated', { seconds: 61 }), 'k8s-node4: packages at 1.34.5 in 1m1s', ''],
  [node('soaking'), 'k8s-node4: Ready at 1.34.5, soaking', ''],
  [node('done'), 'k8s-node4: done', ''],
  [{ type: 'script', node: 'a', script: 'update_k8s', line: '==> x' }, 'a update_k8s: ==> x', undefined],
  [
    { type: 'waiting', reasons: ['one', 'two'], until: '12:00' },
    'waiting until 12:00 for:\n  - one\n  - two',
    ':warning: ',
  ],
  [
    { type: 'snapshot', path: '/a.db', hash: 'ff', revision: 12, size: 99 },
    'etcd snapshot /a.db: verified, hash ff, revision 12, 99 bytes',
    ':floppy_disk: ',
  ],
  [{ type: 'in-flight', startedAt: 1, snapshotTaken: true }, 'a rollout is in flight', undefined],
  [{ type: 'in-flight', startedAt: undefined, snapshotTaken: false }, 'no rollout is in flight', undefined],
  [{ type: 'heartbeat' }, 'alive', undefined],
  [{ type: 'planned-action', action: 'evict pod a/b' }, 'WOULD: evict pod a/b', undefined],
  [{ type: 'notice', text: 'look' }, 'look', ':warning: '],
  [{ type: 'handed-off', job: 'job-2', why: 'it is here' }, 'handing over to job-2: it is here', ''],
  [ended('done'), 'done: the message', ':white_check_mark: Kubernetes 1.34.5: '],
  [ended('held'), 'held: the message', ':hourglass: Kubernetes 1.34.5: '],
  [ended('blocked', 'Do this.'), 'blocked: the message\nDo this.', ':no_entry: Kubernetes 1.34.5: '],
  [ended('failed', 'Do that.'), 'failed: the message\nDo that.', ':x: Kubernetes 1.34.5: '],
];

group('the text of an event', () => {
  test.each(table)('%j', (event, text, slack) => {
    expect(describe(event)).toBe(text);
    expect(slackText(event)).toBe(slack === undefined ? undefined : slack + text);
  });
});

group('the Slack sink', () => {
  it('posts important events with its prefix and leaves out the others', async () => {
    const posted: string[] = [];
    const sink = slackSink(async (text) => void posted.push(text), '[dry-run] ');
    for (const event of [node('done'), node('updating'), { type: 'heartbeat' } as const])
      await sink.handle(event);
    expect(posted).toEqual(['[dry-run] k8s-node4: done']);
  });
});
