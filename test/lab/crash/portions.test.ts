import { describe, expect, it, test } from 'vitest';
import { type CallRecord, eachFault, parsePoint, pointText } from './points.ts';
import { planOf } from './portions.ts';

const programs = ['patch', 'minor', 'ha', 'agent-service', 'job'];
const every = Number.POSITIVE_INFINITY;

describe('the plan of a value of CRASH', () => {
  it('all: kills and fails every call of every program, and adds transfers and disturbances', () => {
    expect(planOf('all')).toEqual({
      portions: programs.map((of) => ({ of, kills: every, faults: 'each' })),
      beyond: ['brokenTransfers', 'disturbances'],
    });
  });

  it('faults-all: fails every call of every program in every way', () => {
    expect(planOf('faults-all')?.portions).toEqual(programs.map((of) => ({ of, kills: 0, faults: 'each' })));
  });

  test.each(['', 'all'])('"%s" covers every program', (wanted) => {
    expect(planOf(wanted)?.portions.map(({ of }) => of)).toEqual(programs);
  });

  test.each(['17:after', 'nonsense', 'toString'])('%s is not a plan', (wanted) => {
    expect(planOf(wanted)).toBeUndefined();
  });
});

describe('the faults of a call', () => {
  const call = (what: string): CallRecord => ({ n: 1, what, nth: 2, phase: 'p', processName: 'x' });

  it('are a 500, a 429, a reset and a silence, before its effect, and after it where that differs', () => {
    const points = eachFault([call('patch nodes/k8s-node2')]);
    expect(points.map(({ moment, action }) => `${moment} ${action}`).sort()).toEqual([
      'after reset',
      'after silence',
      'before 429',
      'before 500',
      'before reset',
      'before silence',
    ]);
    for (const point of points) expect(parsePoint(pointText(point))).toEqual(point);
  });

  test.each(['connect k8s-node1', 'start update_k8s on k8s-node1'])('have no status over SSH: %s', (what) => {
    expect(eachFault([call(what)]).map(({ action }) => action)).toEqual([
      'reset',
      'silence',
      'reset',
      'silence',
    ]);
  });
});
