import { expect, it, test } from 'vitest';
import { annotationKeys } from '../../../runtime/src/names.ts';
import type { NodeState } from '../../scenarios/observe.ts';
import { wrongOfNode } from './verdict.ts';

const keys = annotationKeys('viktorbarzin.me');
const node: NodeState = { name: 'n1', release: '1.34.5', unschedulable: false, annotations: {} };
const judge = (change: Partial<NodeState>, cordoned?: string) =>
  wrongOfNode({ ...node, ...change }, '1.34.5', cordoned);

it('nothing is wrong of a node at the target, cordoned only where a person did it', () => {
  expect(judge({ annotations: { 'example.com/other': '1' } })).toEqual([]);
  expect(judge({ unschedulable: true }, 'n1')).toEqual([]);
});

test.each(['cordoned', 'touched', 'unfinished', 'soaking'] as const)('a mark that is left: %s', (key) => {
  expect(judge({ annotations: { [keys[key]]: '' } })).toEqual([`n1 still has ${keys[key]}`]);
});

it("another release, a cordon that stayed, and a person's that went", () => {
  expect(judge({ release: '1.34.2', unschedulable: true })).toEqual(['n1 is at 1.34.2', 'n1 is cordoned']);
  expect(judge({}, 'n1')).toEqual(['n1 is not cordoned']);
});
