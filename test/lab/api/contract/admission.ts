import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KubeObject } from '../types.ts';
import { job, namespace } from './objects.ts';
import type { Rest } from './rest.ts';
import type { StartTarget, Target } from './target.ts';

const apiVersion = 'admissionregistration.k8s.io/v1';
const image = 'lab/sh:1';

/** Jobs of one image and a short life, where the binding says so. */
const policy: readonly KubeObject[] = [
  {
    apiVersion,
    kind: 'ValidatingAdmissionPolicy',
    metadata: { name: 'guard' },
    spec: {
      failurePolicy: 'Fail',
      matchConstraints: {
        resourceRules: [
          { apiGroups: ['batch'], apiVersions: ['v1'], operations: ['CREATE'], resources: ['jobs'] },
        ],
      },
      variables: [{ name: 'pod', expression: 'object.spec.template.spec' }],
      validations: [
        {
          expression: `variables.pod.containers.all(c, c.image == '${image}')`,
          message: `the image is ${image}`,
        },
        // As it is after defaults.
        { expression: 'object.spec.backoffLimit <= 6', message: 'it is tried seven times at most' },
      ],
    },
  },
  {
    apiVersion,
    kind: 'ValidatingAdmissionPolicyBinding',
    metadata: { name: 'guard-here' },
    spec: {
      policyName: 'guard',
      validationActions: ['Deny'],
      matchResources: { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'guarded' } } },
    },
  },
];

/** ValidatingAdmissionPolicies: which Jobs a namespace takes. */
export function describeAdmission(start: StartTarget): void {
  describe('admission policies', () => {
    let target: Target;
    let rest: Rest;
    const create = (where: string, one: KubeObject, query = '') =>
      rest.send('POST', `/apis/batch/v1/namespaces/${where}/jobs${query}`, one);
    const other = (where: string) => {
      const containers = [{ name: 'main', image: 'lab/other:1', args: ['true'] }];
      return job('other', where, 'true', {}, { containers });
    };
    beforeAll(async () => {
      target = await start();
      rest = target.rest;
      await rest.create([namespace('guarded'), namespace('free'), ...policy]);
      // An API server compiles a policy a moment after it has stored it.
      for (const deadline = Date.now() + 30_000; Date.now() < deadline; ) {
        const { code } = await create('guarded', other('guarded'), '?dryRun=All');
        if (code === 422) break;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    });
    afterAll(() => target?.stop());

    it('refuse what a validation does not hold of, with its message', async () => {
      const { code, body } = await create('guarded', other('guarded'));
      const message =
        "ValidatingAdmissionPolicy 'guard' with binding 'guard-here' denied request: the image is lab/sh:1";
      expect(code).toBe(422);
      expect(body).toEqual({
        kind: 'Status',
        apiVersion: 'v1',
        metadata: {},
        status: 'Failure',
        message: `jobs.batch "other" is forbidden: ${message}`,
        reason: 'Invalid',
        details: { name: 'other', group: 'batch', kind: 'jobs', causes: [{ message }] },
        code: 422,
      });
    });

    it('take the others, with their defaults', async () => {
      expect((await create('guarded', job('same', 'guarded', 'true'))).code).toBe(201);
      const often = await create('guarded', job('often', 'guarded', 'true', { backoffLimit: 7 }));
      expect(often.body.message).toMatch(/denied request: it is tried seven times at most$/);
    });

    it('say nothing where they are not bound', async () => {
      expect((await create('free', other('free'))).code).toBe(201);
    });
  });
}
