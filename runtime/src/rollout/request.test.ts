import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { UpgradeError } from '../errors.ts';
import { compareReleases, kindOf, parseRelease } from '../release.ts';
import { anyRelease, nearRelease } from '../testing/arbitraries.ts';
import { checkAgainstCluster, inputsOf, parseInputs, requestOf, type UpgradeRequest } from './request.ts';
import { stageNames } from './stages.ts';

/** The message with which the action fails as bad input. */
function refusal(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(UpgradeError);
    expect((error as UpgradeError).code).toBe('badInput');
    return (error as UpgradeError).message;
  }
  throw new Error('it was accepted');
}

const inputs = (more: object) => JSON.stringify({ target_version: '1.34.5', kind: 'patch', ...more });

describe('inputs', () => {
  it('need a target and a kind; the defaults are all stages and no dry-run', () => {
    expect(parseInputs(inputs({}))).toEqual({
      target: '1.34.5',
      kind: 'patch',
      dryRun: false,
      stages: stageNames,
    });
  });

  test.each([
    ['preflight,snapshot', ['preflight', 'snapshot']],
    ['snapshot, preflight', ['preflight', 'snapshot']],
    [
      ['workers', 'master', 'workers'],
      ['master', 'workers'],
    ],
    ['all', [...stageNames]],
    [['all'], [...stageNames]],
  ])('stages %j run in the fixed order, each once', (stages, order) => {
    expect(parseInputs(inputs({ stages })).stages).toEqual(order);
  });

  const cases: [why: string, json: string, message: string][] = [
    ['leading v', inputs({ target_version: 'v1.34.5' }), 'target_version: "v1.34.5" is not allowed'],
    [
      'pre-release',
      inputs({ target_version: '1.35.0-rc.0' }),
      'target_version: "1.35.0-rc.0" is not allowed',
    ],
    ['shell', inputs({ target_version: '1.34.5;reboot' }), 'expected a release X.Y.Z such as 1.34.5'],
    ['minor only (F14)', inputs({ target_version: '1.35' }), 'target_version: "1.35" is not allowed'],
    ['number', inputs({ target_version: 1.34 }), 'target_version: given 1.34, '],
    ['no target', '{"kind":"patch"}', 'target_version: given nothing, '],
    ['no kind', '{"target_version":"1.34.5"}', 'kind: given nothing'],
    ['unknown kind', inputs({ kind: 'major' }), 'kind: given "major", '],
    ['unknown kind, naming the allowed ones', inputs({ kind: 'major' }), '"patch"|"minor"'],
    ['dry_run as text', inputs({ dry_run: 'yes' }), 'dry_run: given "yes", '],
    [
      'unknown key',
      inputs({ dryrun: 1 }),
      'unknown "dryrun", expected target_version, kind, dry_run, stages',
    ],
    [
      'unknown stage',
      inputs({ stages: 'preflight,reboot' }),
      'stages: "reboot" is not allowed; expected all, or',
    ],
    ['unknown stage, naming the allowed ones', inputs({ stages: 'reboot' }), stageNames.join(', ')],
    ['all and more', inputs({ stages: 'all,preflight' }), 'stages: "all" is not allowed'],
    ['no stage', inputs({ stages: '' }), 'stages: "" is not allowed'],
    ['empty list', inputs({ stages: [] }), 'stages: "[]" is not allowed; expected all, or some of preflight'],
    ['no JSON', 'target_version=1.34.5', '--inputs: "target_version=1.34.5" is not allowed; expected JSON'],
    ['cut off', '{"target_version":', 'expected JSON such as {"target_version":"1.34.5","kind":"patch"}'],
    ['list', '[]', '--inputs: (the document): given []'],
    ['null', 'null', 'target_version: given nothing'],
  ];
  test.each(cases)('refused: %s', (_why, json, message) => {
    expect(refusal(() => parseInputs(json))).toContain(message);
  });

  it('are refused in the same way when given as flags', () => {
    expect(refusal(() => requestOf({ target_version: 'v1.34.5', kind: 'patch' }))).toContain('"v1.34.5"');
    expect(refusal(() => requestOf({ target_version: '1.34.5', kind: 'patch', stages: 'x' }))).toContain(
      '"x"',
    );
  });

  it('are the same after being passed to the next Job', () => {
    const request: fc.Arbitrary<UpgradeRequest> = fc.record({
      target: anyRelease,
      kind: fc.constantFrom('patch' as const, 'minor' as const),
      dryRun: fc.boolean(),
      stages: fc.subarray([...stageNames], { minLength: 1 }),
    });
    fc.assert(
      fc.property(request, (given) => {
        expect(parseInputs(inputsOf(given))).toEqual(given);
      }),
    );
  });
});

describe('a request against the cluster', () => {
  const check = (target: string, kind: 'patch' | 'minor', running: string, server = running) =>
    checkAgainstCluster(
      requestOf({ target_version: target, kind }),
      parseRelease('running', running),
      parseRelease('server', server),
    );

  test.each([
    ['1.34.5', 'patch', '1.34.2', '1.34.2'],
    ['1.35.1', 'minor', '1.34.5', '1.34.5'],
    ['1.35.1', 'minor', '1.34.5', '1.35.1'],
    ['1.35.1', 'minor', '1.35.1', '1.35.1'],
  ] as const)('%s (%s) from kubelet %s and API server %s is accepted', (target, kind, running, server) => {
    expect(() => check(target, kind, running, server)).not.toThrow();
  });

  test.each([
    ['older', '1.34.1', 'patch', '1.34.2', '1.34.2', 'not older than the cluster'],
    [
      'older than the API server',
      '1.34.4',
      'patch',
      '1.34.2',
      '1.34.5',
      'API server 1.34.5, oldest kubelet 1.34.2',
    ],
    ['older minor', '1.33.9', 'patch', '1.34.2', '1.34.2', 'kubeadm cannot downgrade'],
    [
      'two minors ahead',
      '1.36.0',
      'minor',
      '1.34.2',
      '1.34.2',
      'a release of 1.34 or 1.35; kubeadm upgrades one',
    ],
    [
      'two minors ahead of a kubelet',
      '1.36.0',
      'minor',
      '1.34.2',
      '1.35.3',
      'kubeadm upgrades one minor at a time',
    ],
    ['another major', '2.0.0', 'minor', '1.34.2', '1.34.2', 'target_version: "2.0.0" is not allowed'],
    [
      'a minor called patch',
      '1.35.1',
      'patch',
      '1.34.2',
      '1.34.2',
      'kind: "patch" is not allowed; expected minor',
    ],
    [
      'a patch called minor',
      '1.34.5',
      'minor',
      '1.34.2',
      '1.34.2',
      'kind: "minor" is not allowed; expected patch',
    ],
  ] as const)('refused: %s', (_why, target, kind, running, server, message) => {
    expect(refusal(() => check(target, kind, running, server))).toContain(message);
  });

  it('is refused when the target is older or more than one minor ahead', () => {
    fc.assert(
      fc.property(nearRelease, nearRelease, nearRelease, (target, running, server) => {
        for (const kind of ['patch', 'minor'] as const) {
          let accepted = true;
          try {
            checkAgainstCluster({ target, kind, dryRun: false, stages: stageNames }, running, server);
          } catch {
            accepted = false;
          }
          const ahead = compareReleases(target, running) >= 0 && compareReleases(target, server) >= 0;
          const right = target === running || kindOf(running, target) === kind;
          expect(accepted).toBe(ahead && right);
        }
      }),
      { numRuns: 500 },
    );
  });
});
