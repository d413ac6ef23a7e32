import { longestWait, type Settings } from '../settings/settings.ts';

/**
 * The longest that a healthy run may take, milliseconds: every node waits for its gates, is tried with a pod
 * and prepared, waits again, drains, runs its script, becomes Ready, is tried again and soaks as long as
 * settings and alerts allow, plus the stages before and after. A drain before the kubelet adds a script, a
 * wait for its static pods and one for the gates. It is the time-out of the agent service (F2); older
 * in-flight annotations count as abandoned (F7).
 */
export function longestRun(nodeCount: number, settings: Settings): number {
  const { timing, drain, ssh } = settings;
  const gates = longestWait(settings);
  const untilUp = timing.nodeReady + timing.staticPods;
  const tried = timing.unschedulable + timing.nodeReady;
  const step = gates + timing.script;
  const kubeadmStep = drain.before === 'kubelet' ? step + ssh.reconnectTimeout + untilUp : 0;
  const soak = Math.max(timing.soak, timing.controlPlaneSoak) + gates;
  const perNode = 2 * step + kubeadmStep + drain.timeout + ssh.reconnectTimeout + untilUp + soak + 2 * tried;
  const around = 3 * timing.script + 2 * gates + timing.apiOutage;
  return nodeCount * perNode + around;
}
