import { z } from 'zod';
import { credentialKeys, mountPaths, objectNames, ruleGroups } from '../names.ts';
import { addOnRule } from './add-on-rule.ts';
import { blockedPodRule, outlastingRules } from './blocked-pods.ts';
import { parseWith } from './parse.ts';
import {
  absolutePath,
  dnsLabel,
  dnsName,
  duration,
  httpUrl,
  kubeadmWord,
  nodeName,
  nodeOrder,
  positiveDuration,
  release,
} from './values.ts';

/**
 * The one schema of the settings file: the construct checks and writes it, the runtime reads it.
 * Durations are text such as `10m`; they become milliseconds.
 */

export const settingsSchema = z.strictObject({
  namespace: dnsLabel.default(objectNames.namespace),
  /** DNS name before the slash of every annotation. */
  annotationPrefix: dnsName.default('viktorbarzin.me'),
  /** In which order nodes are upgraded. The cluster says which nodes there are (F26); unlisted ones come after the listed. */
  nodes: z
    .strictObject({ controlPlane: nodeOrder, workers: nodeOrder })
    .superRefine((nodes, ctx) => {
      for (const name of nodes.workers.filter((n) => nodes.controlPlane.includes(n))) {
        ctx.addIssue({
          code: 'custom',
          path: ['workers'],
          message: `expected ${name} in controlPlane or in workers, not in both`,
        });
      }
    })
    .prefault({}),
  ssh: z
    .strictObject({
      user: z
        .string()
        .regex(/^[a-z_][a-z0-9_-]{0,31}$/, 'expected a login name')
        .default('wizard'),
      port: z.int().min(1).max(65535).default(22),
      privateKeyFile: absolutePath.default(`${mountPaths.credentials}/${credentialKeys.sshKey}`),
      hostKeys: z
        .strictObject({
          /** `pinned` refuses a node without a known key; `accept-new` remembers the first one in the cluster (F27). */
          policy: z.enum(['pinned', 'accept-new']).default('pinned'),
          /** Node name → `ssh-ed25519 AAAA…`, as in a known_hosts file. */
          known: z
            .record(
              nodeName,
              z.string().regex(/^[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,2}( .*)?$/, 'expected "ssh-ed25519 AAAA…"'),
            )
            .default({}),
        })
        .prefault({}),
      connectTimeout: positiveDuration.prefault('15s'),
      /** How long a node may be unreachable, with its script running on, before the run gives up. */
      reconnectTimeout: positiveDuration.prefault('10m'),
    })
    .prefault({}),
  packages: z
    .strictObject({
      /** `v1.35/deb/` is appended. */
      repository: httpUrl.default('https://pkgs.k8s.io/core:/stable:/'),
      timeout: positiveDuration.prefault('30s'),
    })
    .prefault({}),
  prometheus: z.strictObject({
    url: httpUrl,
    /** Whose firing alerts close the gate (F32). */
    ruleGroups: z.array(z.string().min(1)).min(1).default([ruleGroups.gates]),
    timeout: positiveDuration.prefault('10s'),
  }),
  pushgateway: z.strictObject({ url: httpUrl, timeout: positiveDuration.prefault('10s') }),
  slack: z
    .strictObject({
      /** File with the incoming-webhook URL. */
      webhookFile: absolutePath.default(`${mountPaths.credentials}/${credentialKeys.slackWebhook}`),
      enabled: z.boolean().default(true),
      timeout: positiveDuration.prefault('10s'),
    })
    .prefault({}),
  dispatch: z
    .strictObject({
      /** `agent-service` posts to it; `job` lets the detector create the execution Job itself. */
      mode: z.enum(['agent-service', 'job']).default('agent-service'),
      /** Detect and report only. */
      dryRun: z.boolean().default(false),
      agentService: z
        .strictObject({
          url: httpUrl.default('http://claude-agent-service.claude-agent.svc.cluster.local:8080'),
          tokenFile: absolutePath.default(`${mountPaths.credentials}/${credentialKeys.agentToken}`),
          agent: z.string().min(1).default('.claude/agents/k8s-version-upgrade'),
          maxBudgetUsd: z.number().positive().default(5),
          timeout: positiveDuration.prefault('30s'),
        })
        .prefault({}),
    })
    .prefault({}),
  /** Which releases are taken, and when. */
  policy: z
    .strictObject({
      /** How long a release must have been out (F16). */
      minimumAge: z
        .strictObject({ patch: duration.prefault('3d'), minor: duration.prefault('30d') })
        .prefault({}),
      /** The lowest Z of a new minor. */
      minimumMinorPatch: z.int().min(0).default(1),
      /** Releases that are never taken, on top of the built-in list. */
      deny: z.array(z.strictObject({ version: release, reason: z.string().min(1) })).default([]),
      /** Releases that are taken whatever age, patch level and deny list say. */
      allow: z.array(release).default([]),
    })
    .prefault({}),
  gates: z
    .strictObject({
      /** How long a drain waits for the alerts to clear. */
      alertWait: duration.prefault('30m'),
      alertInterval: positiveDuration.prefault('15s'),
      /** No node may have become Ready or not Ready for this long. */
      quietPeriod: duration.prefault('1d'),
      /** Ready pods over all pods that should be, at post-flight. */
      minimumPodReadyRatio: z.number().min(0).max(1).default(0.9),
      /** Which Kubernetes releases the installed add-ons support; asked before a minor. */
      addOns: z.array(addOnRule).default([]),
      /** The oldest version of an etcd that is no pod of this cluster. */
      externalEtcdVersion: z
        .string()
        .regex(/^\d+\.\d+\.\d+$/, 'expected a version such as 3.5.26')
        .optional(),
    })
    .prefault({}),
  drain: z
    .strictObject({
      /** For one node as a whole. */
      timeout: positiveDuration.prefault('15m'),
      /** Given to every pod, as `kubectl drain --grace-period`. */
      gracePeriod: duration.prefault('5m'),
      /** Between two evictions that a PodDisruptionBudget refused (F18). */
      evictionRetry: positiveDuration.prefault('5s'),
      /** Pods that may be deleted when their eviction stays refused. None: a budget that never allows stops preflight (F17). */
      blockedPods: z.array(blockedPodRule(duration)).default([]),
    })
    .superRefine(({ timeout, blockedPods }, ctx) => {
      for (const i of outlastingRules(blockedPods, timeout)) {
        const message = 'expected wait and deleteAfter to be over before drain.timeout is';
        ctx.addIssue({ code: 'custom', path: ['blockedPods', i], message });
      }
    })
    .prefault({}),
  timing: z
    .strictObject({
      /** After each worker; every gate alert during it stops the rollout. */
      soak: duration.prefault('10m'),
      /** From the end of a node's script until the node is Ready at the target. */
      nodeReady: positiveDuration.prefault('10m'),
      /** One script on one node. */
      script: positiveDuration.prefault('45m'),
      lease: positiveDuration.prefault('1m'),
      /** How long the API server may be away, as it is while the control plane is upgraded. */
      apiOutage: positiveDuration.prefault('10m'),
      /** One request to the API server. */
      apiRequest: positiveDuration.prefault('30s'),
      /** After this, a Job that no node takes is reported with the scheduler's reason. */
      unschedulable: positiveDuration.prefault('90s'),
    })
    .prefault({}),
  snapshot: z
    .strictObject({
      directory: absolutePath.default('/mnt/main/etcd-backup'),
      /** Older than this, and with no node changed yet, another one is taken. */
      maximumAge: positiveDuration.prefault('1d'),
      /** So many of the pipeline's own stay in the directory; older ones are removed once a new one is there. */
      keep: z.int().min(2).max(9_999).default(10),
    })
    .prefault({}),
  kubeadm: z
    .strictObject({
      /** As `--skip-phases`, for example addon/coredns (F21). */
      skipPhases: z.array(kubeadmWord).default([]),
      ignorePreflightErrors: z.array(kubeadmWord).default([]),
    })
    .prefault({}),
});

/** What the runtime works with: defaults filled in, durations in milliseconds. */
export type Settings = z.output<typeof settingsSchema>;
/** What a person or a construct writes. */
export type SettingsInput = z.input<typeof settingsSchema>;

/**
 * @param source what to call the document in an error, such as its file name.
 * @throws UpgradeError (badInput) naming every field that is wrong, what was given and what is allowed.
 */
export function parseSettings(source: string, document: unknown): Settings {
  return parseWith(settingsSchema, source, document);
}
