import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import {
  compareReleases,
  isRelease,
  kindOf,
  minorOf,
  newest,
  parseRelease,
  type Release,
} from '../release.ts';
import { packageNames } from '../releases/packages.ts';
import type { Candidate, PackageRepository } from '../releases/repository.ts';
import type { NodeShell } from '../ssh/node-shell.ts';
import { nearRelease } from '../testing/arbitraries.ts';
import { clusterNode, testSettings } from '../testing/cluster.ts';
import { type Candidates, choose, knownBadReleases, type Observation } from './choose.ts';
import { checkReach, findCandidates, observe } from './observe.ts';

const r = (text: string): Release => parseRelease('test', text);
const day = 86_400_000;
const now = Date.parse('2026-01-04T12:00:00Z');
const policy = testSettings().policy;
const out = (release: string, days: number | undefined): Candidate => ({
  release: r(release),
  publishedAt: days === undefined ? undefined : now - days * day,
});
const seen = (running: string, change: Partial<Observation> = {}): Observation => ({
  server: r(running),
  kubelets: [r(running)],
  running: r(running),
  inFlight: undefined,
  ...change,
});
const none: Candidates = { patches: [], minors: [] };

describe('a release that is not whole (F49)', () => {
  const part = (release: string, ...missing: string[]): Candidate => ({ ...out(release, 60), missing });

  it('is not chosen: the newest that is whole is, and the refusal says what is missing', () => {
    const patches = [
      part('1.34.7', 'kubelet', 'kubectl for arm64'),
      part('1.34.6', 'kubeadm'),
      out('1.34.5', 60),
    ];
    expect(choose(seen('1.34.2'), { patches, minors: [] }, policy, now)).toEqual({
      target: { release: '1.34.5', kind: 'patch', why: 'newest patch that policy allows' },
      refused: [
        { release: '1.34.7', kind: 'patch', reason: 'not complete yet: no kubelet, no kubectl for arm64' },
        { release: '1.34.6', kind: 'patch', reason: 'not complete yet: no kubeadm' },
      ],
    });
  });

  it('is not chosen by a policy that allows it', () => {
    const allowed = { ...policy, allow: [r('1.34.5')] };
    const candidates = { patches: [part('1.34.5', 'kubelet')], minors: [] };
    expect(choose(seen('1.34.2'), candidates, allowed, now).target).toBeUndefined();
  });

  const nodes = [
    clusterNode('k8s-master', { controlPlane: true, labels: { 'kubernetes.io/arch': 'amd64' } }),
    clusterNode('k8s-node1', { labels: { 'kubernetes.io/arch': 'arm64' } }),
  ];
  const of = (release: string, names: readonly string[], ...architectures: string[]) =>
    names.flatMap((name) =>
      architectures.map((architecture) => ({ name, release: r(release), architecture, filename: release })),
    );
  const whole = (release: string) => of(release, packageNames, 'amd64', 'arm64');

  it('is what the node’s package manager or the repository has in part, for the architectures of the nodes', async () => {
    const packages: Record<string, unknown[]> = {
      '1.34': [
        ...whole('1.34.2'),
        ...whole('1.34.5'),
        ...of('1.34.6', packageNames, 'amd64'),
        ...of('1.34.7', ['kubeadm'], 'amd64', 'arm64'),
        ...of('1.34.7', packageNames, 's390x'),
      ],
      '1.35': [...whole('1.35.1'), ...of('1.35.2', ['kubelet'], 'amd64', 'arm64')],
    };
    const repository = {
      hasMinor: async () => true,
      packages: async (minor: string) => packages[minor] ?? [],
      publishedAt: async () => 0,
    } as unknown as PackageRepository;
    const shell = {
      script: async () => ({
        versions: ['1.34.6-1.1', '1.34.5-1.1', '1.34.2-1.1'],
        incomplete: ['1.34.8 kubectl', '1.34.7 kubelet kubectl', '1.35.0~rc.1-1.1 kubelet'],
      }),
    } as unknown as NodeShell;
    const found = await findCandidates(nodes, r('1.34.2'), shell, repository);
    const missing = (candidates: readonly Candidate[]) =>
      candidates.map((one) => [one.release, one.missing?.join(', ')]);
    expect(missing(found.patches)).toEqual([
      ['1.34.8', 'kubectl'],
      ['1.34.7', 'kubelet, kubectl'],
      ['1.34.6', 'kubeadm for arm64, kubelet for arm64, kubectl for arm64'],
      ['1.34.5', ''],
    ]);
    expect(missing(found.minors)).toEqual([
      ['1.35.2', 'kubeadm, kubectl'],
      ['1.35.1', ''],
    ]);
  });
});

describe('observing', () => {
  it('returns the oldest kubelet as the running release, on whichever node it is (F10)', () => {
    const nodes = ['1.34.5', '1.34.10', '1.34.2', '1.34.5'].map((release, n) =>
      clusterNode(`node${n}`, { release: r(release), controlPlane: n === 0 }),
    );
    expect(observe(nodes, r('1.34.10'), undefined, undefined).running).toBe('1.34.2');
  });

  it('returns the release of the API server as running when every kubelet is ahead', () => {
    const nodes = [clusterNode('node1', { release: r('1.34.5') })];
    expect(observe(nodes, r('1.34.4'), undefined, undefined).running).toBe('1.34.4');
  });

  it('is blocked naming every kubelet that is more than one minor behind the API server', () => {
    const at = (...releases: string[]) =>
      releases.map((release, n) => clusterNode(`node${n}`, { release: r(release) }));
    expect(() => checkReach(at('1.34.4', '1.33.9', '1.35.0'), r('1.34.4'))).not.toThrow();
    expect(() => checkReach(at('1.34.4', '1.32.4', '1.33.9', '1.31.1'), r('1.34.4'))).toThrow(
      expect.objectContaining({
        code: 'blocked',
        reasons: ['kubelet 1.32.4 of node1 is 2 minors behind', 'kubelet 1.31.1 of node3 is 3 minors behind'],
        message: expect.stringMatching(/the API server 1\.34\.4: .* manually, one minor at a time/),
      }),
    );
  });
});

describe('choosing', () => {
  const cases: [
    what: string,
    seen: Observation,
    candidates: Candidates,
    target: string,
    refused: string[],
  ][] = [
    ['nothing when there is no newer release', seen('1.34.5'), none, 'none', []],
    [
      'the newest patch by number',
      seen('1.34.2'),
      { ...none, patches: [out('1.34.9', 9), out('1.34.10', 9)] },
      'patch 1.34.10',
      [],
    ],
    [
      'a patch before a minor',
      seen('1.34.2'),
      { patches: [out('1.34.3', 9)], minors: [out('1.35.4', 90)] },
      'patch 1.34.3',
      [],
    ],
    [
      'the previous patch while the newest is too young (F16)',
      seen('1.34.2'),
      { ...none, patches: [out('1.34.4', 1), out('1.34.3', 9)] },
      'patch 1.34.3',
      ['1.34.4: released 1d ago; policy accepts a patch after 3d'],
    ],
    [
      'a minor when every patch is refused',
      seen('1.34.2'),
      { patches: [out('1.34.3', 1)], minors: [out('1.35.1', 30)] },
      'minor 1.35.1',
      ['1.34.3: released 1d ago; policy accepts a patch after 3d'],
    ],
    [
      'no .0 of a new minor',
      seen('1.34.2'),
      { ...none, minors: [out('1.36.0', 90)] },
      'none',
      ['1.36.0: policy accepts a new minor from patch level 1'],
    ],
    [
      'nothing of unknown age',
      seen('1.34.2'),
      { ...none, patches: [out('1.34.3', undefined)] },
      'none',
      ['1.34.3: its release date is unknown'],
    ],
    [
      'not the release that breaks kubeadm (F16)',
      seen('1.34.2'),
      { ...none, minors: [out('1.35.0', 900)] },
      'none',
      [`1.35.0: denied: ${knownBadReleases[0]?.reason}`],
    ],
    // An unfinished rollout first.
    [
      'the target of an unfinished rollout (F10)',
      seen('1.34.2', { server: r('1.34.5'), kubelets: [r('1.34.5'), r('1.34.2')] }),
      { ...none, patches: [out('1.34.6', 90)] },
      'patch 1.34.5',
      [],
    ],
    [
      'the target of an unfinished minor, not a newer patch of it',
      seen('1.34.5', { server: r('1.35.1'), kubelets: [r('1.35.1'), r('1.34.5')] }),
      { patches: [out('1.34.6', 90)], minors: [out('1.35.3', 90)] },
      'minor 1.35.1',
      [],
    ],
    [
      'the target in flight, before any node is at it',
      seen('1.34.2', { inFlight: r('1.34.5') }),
      { ...none, patches: [out('1.34.6', 90)] },
      'patch 1.34.5',
      [],
    ],
    [
      'not a target in flight that is older than the API server',
      seen('1.34.2', { server: r('1.34.6'), inFlight: r('1.34.5') }),
      none,
      'patch 1.34.6',
      [],
    ],
    [
      'not a target in flight that is two minors ahead',
      seen('1.34.2', { server: r('1.34.6'), inFlight: r('1.36.1') }),
      none,
      'patch 1.34.6',
      [],
    ],
    [
      'the target in flight when only the API server is left',
      seen('1.34.4', { kubelets: [r('1.34.5')], inFlight: r('1.34.5') }),
      { ...none, patches: [out('1.34.5', 1)] },
      'patch 1.34.5',
      [],
    ],
    // A kubelet that is ahead of the API server is not an unfinished rollout.
    [
      'the release of a kubelet that is ahead, once policy allows it',
      seen('1.34.4', { kubelets: [r('1.34.4'), r('1.34.5')] }),
      { ...none, patches: [out('1.34.5', 9)] },
      'patch 1.34.5',
      [],
    ],
    [
      'nothing while the release of a kubelet that is ahead is too young (F16)',
      seen('1.34.4', { kubelets: [r('1.34.4'), r('1.34.5')] }),
      { ...none, patches: [out('1.34.5', 1)] },
      'none',
      ['1.34.5: released 1d ago; policy accepts a patch after 3d'],
    ],
    [
      'the release of every kubelet when only the API server is behind',
      seen('1.34.4', { kubelets: [r('1.34.5')] }),
      { ...none, patches: [out('1.34.5', 9)] },
      'patch 1.34.5',
      [],
    ],
    [
      'nothing older than the newest kubelet',
      seen('1.34.2', { kubelets: [r('1.34.2'), r('1.34.5')] }),
      { ...none, patches: [out('1.34.5', 1), out('1.34.4', 9)] },
      'none',
      [
        '1.34.5: released 1d ago; policy accepts a patch after 3d',
        '1.34.4: a node or the API server already runs 1.34.5',
      ],
    ],
    [
      'a release newer than the control plane when a kubelet is newer, too',
      seen('1.34.2', { server: r('1.34.5'), kubelets: [r('1.34.2'), r('1.34.6')] }),
      { ...none, patches: [out('1.34.6', 9), out('1.34.5', 20)] },
      'patch 1.34.6',
      [],
    ],
    [
      'by policy once every component is at the target in flight',
      seen('1.34.5', { inFlight: r('1.34.5') }),
      { ...none, patches: [out('1.34.6', 90)] },
      'patch 1.34.6',
      [],
    ],
  ];
  test.each(cases)('%s', (_what, observation, candidates, target, refused) => {
    const decision = choose(observation, candidates, policy, now);
    expect(decision.target ? `${decision.target.kind} ${decision.target.release}` : 'none').toBe(target);
    expect(decision.refused.map((one) => `${one.release}: ${one.reason}`)).toEqual(refused);
  });

  it('obeys the deny list, and the allow list before everything else', () => {
    const candidates = { ...none, minors: [out('1.36.0', 0), out('1.35.1', 90)] };
    const deny = [{ version: r('1.35.1'), reason: 'our CNI' }];
    expect(choose(seen('1.34.2'), candidates, { ...policy, deny }, now)).toEqual({
      refused: [
        { release: '1.36.0', kind: 'minor', reason: 'policy accepts a new minor from patch level 1' },
        { release: '1.35.1', kind: 'minor', reason: 'denied: our CNI' },
      ],
    });
    const allow = [r('1.36.0')];
    expect(choose(seen('1.34.2'), candidates, { ...policy, deny, allow }, now).target?.release).toBe(
      '1.36.0',
    );
  });

  const rows: [what: string, change: object, kind: 'patch' | 'minor', candidate: Candidate, why: string][] = [
    ['a patch of the minimum age', {}, 'patch', out('1.34.3', 3), 'chosen'],
    [
      'a patch one day too young',
      {},
      'patch',
      out('1.34.3', 2),
      'released 2d ago; policy accepts a patch after 3d',
    ],
    ['a minor of the minimum age', {}, 'minor', out('1.35.1', 30), 'chosen'],
    [
      'a minor one day too young',
      {},
      'minor',
      out('1.35.1', 29),
      'released 29d ago; policy accepts a minor after 30d',
    ],
    [
      'another minimum age',
      { minimumAge: { patch: 7 * day, minor: 0 } },
      'patch',
      out('1.34.3', 6),
      'released 6d ago; policy accepts a patch after 7d',
    ],
    [
      'a higher minimum patch level',
      { minimumMinorPatch: 3 },
      'minor',
      out('1.36.2', 99),
      'policy accepts a new minor from patch level 3',
    ],
    [
      'the minimum patch level does not apply to patches',
      { minimumMinorPatch: 9 },
      'patch',
      out('1.34.3', 99),
      'chosen',
    ],
    ['.0 with a minimum patch level of 0', { minimumMinorPatch: 0 }, 'minor', out('1.36.0', 99), 'chosen'],
    [
      '1.35.0, whatever the minimum patch level',
      { minimumMinorPatch: 0 },
      'minor',
      out('1.35.0', 99),
      `denied: ${knownBadReleases[0]?.reason}`,
    ],
    [
      'the built-in deny list, allowed by name',
      { allow: [r('1.35.0')] },
      'minor',
      out('1.35.0', 0),
      'chosen',
    ],
    [
      "the owner's deny list, allowed by name",
      { deny: [{ version: r('1.34.3'), reason: 'x' }], allow: [r('1.34.3')] },
      'patch',
      out('1.34.3', 0),
      'chosen',
    ],
    [
      "the owner's deny list",
      { deny: [{ version: r('1.34.3'), reason: 'our CSI' }] },
      'patch',
      out('1.34.3', 99),
      'denied: our CSI',
    ],
    [
      'other releases on the lists',
      { deny: [{ version: r('1.34.4'), reason: 'x' }], allow: [r('1.34.5')] },
      'patch',
      out('1.34.3', 2),
      'released 2d ago; policy accepts a patch after 3d',
    ],
    [
      'an unknown age, allowed by name',
      { allow: [r('1.34.3')] },
      'patch',
      out('1.34.3', undefined),
      'chosen',
    ],
  ];
  test.each(rows)('policy: %s (F16)', (_what, change, kind, candidate, why) => {
    const candidates =
      kind === 'patch' ? { ...none, patches: [candidate] } : { ...none, minors: [candidate] };
    const { target, refused } = choose(seen('1.34.2'), candidates, { ...policy, ...change }, now);
    expect(target === undefined ? refused.map((one) => one.reason) : ['chosen']).toEqual([why]);
  });

  it('does not need an age when the minimum age is 0', () => {
    const young = { ...policy, minimumAge: { patch: 0, minor: 0 } };
    const candidates = { ...none, patches: [out('1.34.3', undefined)] };
    expect(choose(seen('1.34.2'), candidates, young, now).target?.release).toBe('1.34.3');
  });
});

describe('whatever the cluster, the repository and policy are', () => {
  /** A version as a repository or a node may list it, including pre-releases. */
  const version = fc
    .tuple(nearRelease, fc.constantFrom('-1.1', '-1.1', '-2.1', '~rc.1-1.1', '~alpha.0-1.1'))
    .map(([release, suffix]) => `${release}${suffix}`);
  const world = fc.record({
    kubelets: fc.array(nearRelease, { minLength: 1, maxLength: 4 }),
    /** All components at one release, in the middle of a rollout, or any mix of releases. */
    shape: fc.constantFrom('even', 'unfinished', 'any'),
    server: nearRelease,
    inFlight: fc.option(nearRelease, { nil: undefined }),
    versions: fc.uniqueArray(version, { maxLength: 12 }),
    ages: fc.array(fc.option(fc.nat(60), { nil: undefined }), { minLength: 1, maxLength: 5 }),
    deny: fc.array(nearRelease, { maxLength: 3 }),
    minimumMinorPatch: fc.nat(3),
  });
  type World = (typeof world extends fc.Arbitrary<infer T> ? T : never) & object;

  /** Runs observation, candidates and choice over a repository and a node that offer the same versions. */
  async function decideIn({ versions, ages, deny, minimumMinorPatch, shape, inFlight, ...given }: World) {
    const server =
      shape === 'unfinished' ? (newest([given.server, ...given.kubelets]) ?? given.server) : given.server;
    const kubelets = given.kubelets.map((release) => (shape === 'even' ? server : release));
    const nodes = kubelets.map((release, n) => clusterNode(`node${n}`, { release, controlPlane: n === 0 }));
    const ageOf = (release: Release) => ages[Number(release.split('.')[2]) % ages.length];
    const bare = versions.map((text) => text.split('-')[0] ?? '').filter(isRelease);
    const packagesOf = (minor: string) => bare.filter((release) => minorOf(release) === minor);
    const repository = {
      hasMinor: async (minor: string) => packagesOf(minor).length > 0,
      packages: async (minor: string) =>
        packagesOf(minor).flatMap((release) =>
          packageNames.map((name) => ({ name, release, architecture: 'amd64', filename: release })),
        ),
      publishedAt: async (_minor: string, filename: string) => {
        const days = ageOf(r(filename));
        return days === undefined ? undefined : now - days * day;
      },
    } as unknown as PackageRepository;
    const running = observe(nodes, server, inFlight, undefined).running;
    // The node's package manager must at least list the running release, or it is an error.
    const shell = {
      script: async () => ({ versions: [...versions, `${running}-1.1`] }),
    } as unknown as NodeShell;
    const observation = observe(nodes, server, inFlight, undefined);
    const candidates = await findCandidates(nodes, running, shell, repository);
    const used = { ...policy, minimumMinorPatch, deny: deny.map((one) => ({ version: one, reason: 'no' })) };
    return { observation, candidates, used, ageOf, decision: choose(observation, candidates, used, now) };
  }

  const runs = { numRuns: 1_000 };

  it('no choice is a pre-release, older, more than one minor ahead, denied, too low or too young', async () => {
    let chosen = 0;
    await fc.assert(
      fc.asyncProperty(world, async (given) => {
        const { observation, decision, used, ageOf } = await decideIn(given);
        const { target } = decision;
        if (target === undefined) return;
        expect(isRelease(target.release)).toBe(true);
        expect(compareReleases(target.release, observation.running)).toBe(1);
        for (const one of [observation.server, ...observation.kubelets])
          expect(compareReleases(target.release, one)).toBeGreaterThanOrEqual(0);
        expect(kindOf(observation.running, target.release)).toBe(target.kind);
        if (!target.why.startsWith('newest')) return;
        chosen += 1;
        const denied = [...used.deny, ...knownBadReleases].map((entry) => entry.version as string);
        expect(denied).not.toContain(target.release);
        expect(ageOf(target.release) ?? -1).toBeGreaterThanOrEqual(used.minimumAge[target.kind] / day);
        if (target.kind === 'minor')
          expect(Number(target.release.split('.')[2])).toBeGreaterThanOrEqual(used.minimumMinorPatch);
      }),
      runs,
    );
    expect(chosen).toBeGreaterThan(50);
  });

  it('the target of an unfinished rollout is chosen before anything else (F10)', async () => {
    let unfinished = 0;
    await fc.assert(
      fc.asyncProperty(world, async (given) => {
        const { observation, decision } = await decideIn(given);
        const { running, server, kubelets } = observation;
        const furthest = [server, ...kubelets].reduce((a, b) => (compareReleases(a, b) >= 0 ? a : b));
        if (furthest !== server || kindOf(running, furthest) === undefined || furthest === running) return;
        unfinished += 1;
        expect(compareReleases(decision.target?.release ?? r('0.0.0'), furthest)).toBeGreaterThanOrEqual(0);
        expect([furthest, given.inFlight]).toContain(decision.target?.release);
        expect(decision.refused).toEqual([]);
      }),
      runs,
    );
    expect(unfinished).toBeGreaterThan(50);
  });

  it('policy decides about the release of a kubelet that is ahead unless a rollout is in flight', async () => {
    let ahead = 0;
    await fc.assert(
      fc.asyncProperty(world, async (given) => {
        const { observation, decision } = await decideIn({ ...given, inFlight: undefined });
        const { server, kubelets } = observation;
        if (!kubelets.some((release) => compareReleases(release, server) > 0)) return;
        ahead += 1;
        expect(decision.target?.why ?? 'newest').toMatch(/^newest/);
      }),
      runs,
    );
    expect(ahead).toBeGreaterThan(50);
  });

  it('every candidate newer than the chosen one is refused with a reason, and none is both chosen and refused', async () => {
    await fc.assert(
      fc.asyncProperty(world, async (given) => {
        const { candidates, decision } = await decideIn(given);
        const { target, refused } = decision;
        if (target && !target.why.startsWith('newest')) return;
        const group = { patch: candidates.patches, minor: candidates.minors };
        const passedOver = (['patch', 'minor'] as const).flatMap((kind) =>
          group[kind]
            .filter(({ release }) => {
              if (!target) return true;
              if (kind !== target.kind) return target.kind === 'minor';
              return compareReleases(release, target.release) > 0;
            })
            .map(({ release }) => release),
        );
        expect(refused.map((one) => one.release).sort()).toEqual(passedOver.sort());
        for (const one of refused) expect(one.reason).not.toBe('');
      }),
      runs,
    );
  });
});
