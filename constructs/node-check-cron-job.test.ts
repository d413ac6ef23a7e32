import { describe, expect, it } from 'vitest';
import { cronJob } from '../test/constructs/cron-jobs.ts';
import { pipeline } from '../test/constructs/synthesis.ts';

const { metadata, spec } = cronJob('k8s-node-check');
const { spec: pod } = spec.job_template.spec.template;

describe('F34: the template of the node check', () => {
  it('is never started by its schedule', () => {
    expect(spec.suspend).toBe(true);
    expect(metadata.labels.app).toBe('k8s-node-check');
  });

  it('has a pod without credentials, that passes Pod Security `restricted`', () => {
    expect(pod).toMatchObject({ automount_service_account_token: false });
    expect(pod.service_account_name).toBeUndefined();
    expect(pod.volume).toEqual([
      { name: 'scratch', empty_dir: { size_limit: '1Mi' } },
      { name: 'cluster-ca', config_map: { name: 'kube-root-ca.crt' } },
    ]);
    expect(pod.container[0]?.security_context).toEqual({
      run_as_non_root: true,
      allow_privilege_escalation: false,
      read_only_root_filesystem: true,
      capabilities: { drop: ['ALL'] },
    });
  });

  it('has a pod that fits on a node that is full, tainted or cordoned', () => {
    expect(pod.toleration).toEqual([{ operator: 'Exists' }]);
    expect(pod.container[0]?.resources).toMatchObject({ requests: { cpu: '0', memory: '0' } });
  });

  it('is left out on request', () => {
    expect(() => cronJob('k8s-node-check', pipeline({ nodeCheck: false }))).toThrow('0 of');
  });
});
