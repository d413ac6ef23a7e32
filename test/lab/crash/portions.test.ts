import { describe, expect, it, test } from 'vitest';
import { type CallRecord, eachFault, parsePoint, pointText } from './points.ts';
import { planOf } from './portions.ts';

const programs = ['patch', 'minor', 'ha', 'agent-service', 'job'];
const every = Number.POSITIVE_INFINITY;

describe('what CRASH asks for', () => {
  it('all: every program, every call, killed and gone wrong, and what is no call', () => {
    expect(planOf('all')).toEqual({
      portions: programs.map((of) => ({ of, kills: every, faults: 'each' })),
      beyond: ['brokenTransfers', 'disturbances'],
    });
  });

  it('faults-all: every call of every program, in every way', () => {
    expect(planOf('faults-all')?.portions).toEqual(programs.map((of) => ({ of, kills: 0, faults: 'each' })));
  });

  test.each(['', 'all'])('"%s" leaves out no program', (wanted) => {
    expect(planOf(wanted)?.portions.map(({ of }) => of)).toEqual(programs);
  });

  test.each(['17:after', 'nonsense', 'toString'])('%s is no plan', (wanted) => {
    expect(planOf(wanted)).toBeUndefined();
  });
});

describe('every fault of a call', () => {
  const call = (what: string): CallRecord => ({ n: 1, what, nth: 2, phase: 'p', process: 'x' });

  it('is a 500, a 429, a reset and a silence, before it has its effect and after where that differs', () => {
    const points = eachFault([call('patch nodes/k8s-node2')]);
    expect(points.map(({ moment, deed }) => `${moment} ${deed}`).sort()).toEqual([
      'after reset',
      'after silence',
      'before 429',
      'before 500',
      'before reset',
      'before silence',
    ]);
    for (const point of points) expect(parsePoint(pointText(point))).toEqual(point);
  });

  test.each(['connect k8s-node1', 'start update_k8s on k8s-node1'])('over SSH has no status: %s', (what) => {
    expect(eachFault([call(what)]).map(({ deed }) => deed)).toEqual(['reset', 'silence', 'reset', 'silence']);
  });
});
