import { expect, it, test } from 'vitest';
import { annotationKeys } from '../../../runtime/src/names.ts';
import { parseRelease } from '../../../runtime/src/release.ts';
import type { NodePhase, RunEvent } from '../../../runtime/src/report/events.ts';
import type { NodeState } from '../../scenarios/observe.ts';
import { drainedAgain, wrongOfNode } from './verdict.ts';

const keys = annotationKeys('viktorbarzin.me');
const node: NodeState = { name: 'n1', release: '1.34.5', unschedulable: false, annotations: {} };
const judge = (change: Partial<NodeState>, cordoned?: string) =>
  wrongOfNode({ ...node, ...change }, '1.34.5', cordoned);

it('finds nothing wrong with a node at the target that is cordoned only if a person did it', () => {
  expect(judge({ annotations: { 'example.com/other': '1' } })).toEqual([]);
  expect(judge({ unschedulable: true }, 'n1')).toEqual([]);
});

test.each(['cordoned', 'changed', 'unfinished', 'soaking'] as const)(
  'finds an annotation that was left: %s',
  (key) => {
    expect(judge({ annotations: { [keys[key]]: '' } })).toEqual([`n1 still has ${keys[key]}`]);
  },
);

it("finds another release, a cordon that was left, and a person's cordon that is gone", () => {
  expect(judge({ release: '1.34.2', unschedulable: true })).toEqual(['n1 is at 1.34.2', 'n1 is cordoned']);
  expect(judge({}, 'n1')).toEqual(['n1 is not cordoned']);
});

const from = parseRelease('test', '1.34.2');
const to = parseRelease('test', '1.34.5');
const start: RunEvent = {
  type: 'run-started',
  target: to,
  kind: 'patch',
  running: from,
  stages: [],
  resumed: false,
  nodes: [],
};
const phasesOf = (...phases: (NodePhase | 'start')[]): RunEvent[] =>
  phases.map((phase) => (phase === 'start' ? start : { type: 'node', node: 'n1', phase, from, to }));

it.each<[string, (NodePhase | 'start')[]]>([
  ['never', ['start', 'draining', 'drained', 'updating', 'updated', 'soaking', 'done']],
  ['killed while it drained', ['start', 'draining', 'start', 'draining', 'drained']],
  ['killed during its script', ['start', 'draining', 'drained', 'updating', 'start', 'draining', 'drained']],
  ['killed before it was uncordoned', ['start', 'draining', 'updating', 'updated', 'start', 'draining']],
])('accepts a drain that had to start again: %s', (_when, phases) => {
  expect(drainedAgain(phasesOf(...phases))).toEqual([]);
});

it.each<[string, (NodePhase | 'start')[]]>([
  ['by the same process, after the script', ['start', 'draining', 'updating', 'updated', 'draining']],
  ['by the next process, during its soak', ['start', 'draining', 'updated', 'soaking', 'start', 'draining']],
  ['by the next process, once it was done', ['start', 'draining', 'updated', 'done', 'start', 'draining']],
])('finds a drain that started again without need: %s', (_when, phases) => {
  expect(drainedAgain(phasesOf(...phases))).toEqual(['n1']);
  const other: RunEvent = { type: 'node', node: 'n2', phase: 'draining', from, to };
  expect(drainedAgain([...phasesOf('start', 'draining', 'done'), other])).toEqual([]);
});
