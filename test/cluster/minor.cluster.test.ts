import { describeUpgrade } from './course.ts';

describeUpgrade({
  topology: '1+2',
  from: '1.34.4',
  target: '1.35.4',
  // kubeadm 1.35 refuses nodes with cgroup v1, which these have.
  settings: (base) => ({ ...base, kubeadm: { ignorePreflightErrors: ['SystemVerification'] } }),
});
