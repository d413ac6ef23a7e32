import { z } from 'zod';
import { credentialKeys, mountPaths, objectNames, ruleGroups } from '../names.ts';
import { addOnRule } from './add-on-rule.ts';
import { blockedPodRule, outlastingRules } from './blocked-pods.ts';
import { parseWith } from './parse.ts';
import {
  absolutePath,
  changeName,
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
 * The schema of the settings file: the construct checks and writes it, the runtime reads it.
 * Durations are text such as `10m`; parsing turns them into milliseconds.
 */
export const settingsSchema = z.strictObject({
  /** Namespace of the pipeline. Default: k8s-upgrade. */
  namespace: dnsLabel.default(objectNames.namespace),
  /** DNS name before the slash of every annotation key. Default: viktorbarzin.me. */
  annotationPrefix: dnsName.default('viktorbarzin.me'),
  /** The order of the upgrade. Which nodes exist is read from the cluster (F26); unlisted nodes come last. */
  nodes: z
    .strictObject({
      /** Control-plane nodes, in order. Default: none listed, so by name. */
      controlPlane: nodeOrder,
      /** Workers, in order. Default: none listed, so by name. */
      workers: nodeOrder,
    })
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
  /** How the programs reach the nodes. */
  ssh: z
    .strictObject({
      /** Login name; needs passwordless sudo unless it is root. Default: wizard. */
      user: z
        .string()
        .regex(/^[a-z_][a-z0-9_-]{0,31}$/, 'expected a login name')
        .default('wizard'),
      /** TCP port. Default: 22. */
      port: z.int().min(1).max(65535).default(22),
      /** File with the private key, without a passphrase. Default: `ssh_key` of the mounted Secret. */
      privateKeyFile: absolutePath.default(`${mountPaths.credentials}/${credentialKeys.sshKey}`),
      /** Which host keys are trusted (F27). */
      hostKeys: z
        .strictObject({
          /**
           * `pinned` refuses a node without a known key; `accept-new` remembers a node's first key in a
           * ConfigMap. Default: pinned.
           */
          policy: z.enum(['pinned', 'accept-new']).default('pinned'),
          /** Node name → `ssh-ed25519 AAAA…`, as in a known_hosts file. Default: none. */
          known: z
            .record(
              nodeName,
              z.string().regex(/^[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,2}( .*)?$/, 'expected "ssh-ed25519 AAAA…"'),
            )
            .default({}),
        })
        .prefault({}),
      /** Time limit of one connection attempt. Default: 15s. */
      connectTimeout: positiveDuration.prefault('15s'),
      /** How long a node may be unreachable before the run gives up; its script continues. Default: 10m. */
      reconnectTimeout: positiveDuration.prefault('10m'),
    })
    .prefault({}),
  /** The package repository of Kubernetes. */
  packages: z
    .strictObject({
      /** Its URL; `v1.35/deb/` is appended. Default: https://pkgs.k8s.io/core:/stable:/. */
      repository: httpUrl.default('https://pkgs.k8s.io/core:/stable:/'),
      /** Time limit of one attempt of a request. Default: 30s. */
      timeout: positiveDuration.prefault('30s'),
    })
    .prefault({}),
  /** Prometheus, which the gates query. */
  prometheus: z.strictObject({
    /** URL of its server. Required. */
    url: httpUrl,
    /** Rule groups whose firing alerts close the gate `alerts` (F32). Default: Upgrade Gates. */
    ruleGroups: z.array(z.string().min(1)).min(1).default([ruleGroups.gates]),
    /** Time limit of one attempt of a request. Default: 10s. */
    timeout: positiveDuration.prefault('10s'),
  }),
  /** Pushgateway, to which the programs push their metrics. */
  pushgateway: z.strictObject({
    /** URL of its server. Required. */
    url: httpUrl,
    /** Time limit of one request. Default: 10s. */
    timeout: positiveDuration.prefault('10s'),
  }),
  /** Messages to Slack. */
  slack: z
    .strictObject({
      /** File with the URL of the incoming webhook. Default: `slack_webhook` of the mounted Secret. */
      webhookFile: absolutePath.default(`${mountPaths.credentials}/${credentialKeys.slackWebhook}`),
      /** Whether messages are sent. Default: true. */
      enabled: z.boolean().default(true),
      /** Time limit of one request. Default: 10s. */
      timeout: positiveDuration.prefault('10s'),
    })
    .prefault({}),
  /** What detection does with a release that it has chosen. */
  dispatch: z
    .strictObject({
      /**
       * `agent-service` posts a request to that service; with `job` the detector creates the Job itself.
       * Default: agent-service.
       */
      mode: z.enum(['agent-service', 'job']).default('agent-service'),
      /** Detect and report, but do not dispatch. Default: false. */
      dryRun: z.boolean().default(false),
      /** The agent service, for the mode of that name. */
      agentService: z
        .strictObject({
          /** Its URL; `/execute` is appended. Default: the service `claude-agent-service` in the cluster. */
          url: httpUrl.default('http://claude-agent-service.claude-agent.svc.cluster.local:8080'),
          /** File with its bearer token. Default: `api_bearer_token` of the mounted Secret. */
          tokenFile: absolutePath.default(`${mountPaths.credentials}/${credentialKeys.agentToken}`),
          /** Path of the agent's definition. Default: .claude/agents/k8s-version-upgrade. */
          agent: z.string().min(1).default('.claude/agents/k8s-version-upgrade'),
          /** What one execution may cost, US dollars. Default: 5. */
          maxBudgetUsd: z.number().positive().default(5),
          /** Time limit of the request. Default: 30s. */
          timeout: positiveDuration.prefault('30s'),
        })
        .prefault({}),
    })
    .prefault({}),
  /** Which releases detection may choose, and when. */
  policy: z
    .strictObject({
      /** How long ago a release must have been published (F16); 0s accepts an unknown age. */
      minimumAge: z
        .strictObject({
          /** For a patch. Default: 3d. */
          patch: duration.prefault('3d'),
          /** For a minor. Default: 30d. */
          minor: duration.prefault('30d'),
        })
        .prefault({}),
      /** The lowest patch level Z at which a new minor is chosen. Default: 1. */
      minimumMinorPatch: z.int().min(0).default(1),
      /** Releases that are never chosen, in addition to the built-in list. Default: none. */
      deny: z
        .array(
          z.strictObject({
            /** The release, `X.Y.Z`. */
            version: release,
            /** Why, for the report. */
            reason: z.string().min(1),
          }),
        )
        .default([]),
      /** Releases that may be chosen regardless of age, patch level and deny lists. Default: none. */
      allow: z.array(release).default([]),
    })
    .prefault({}),
  /** What closes the gates, and how long a run waits for them. */
  gates: z
    .strictObject({
      /**
       * How long a run waits for closed gates before a drain, and at most twice as long for what only needs
       * time, such as a pending alert. Default: 30m.
       */
      alertWait: duration.prefault('30m'),
      /**
       * Time between two checks while waiting or soaking, for what cannot be watched. Default: 15s.
       */
      alertInterval: positiveDuration.prefault('15s'),
      /** How long no node may have become Ready or not Ready before a rollout starts. Default: 1d. */
      quietPeriod: duration.prefault('1d'),
      /**
       * At post-flight: the lowest ratio, 0 to 1, of Ready pods to pods that should be Ready. Default: 0.9.
       */
      minimumPodReadyRatio: z.number().min(0).max(1).default(0.9),
      /** Which Kubernetes releases the installed add-ons support; checked before a minor. Default: none. */
      addOns: z.array(addOnRule).default([]),
      /**
       * Changes of kubeadm beyond images and versions that do not close a gate, as that gate names them:
       * `kubelet maxPods`, `kube-proxy`; `etcd` where kubeadm does not show etcd's manifest. Default: none.
       */
      acceptChanges: z.array(changeName).default([]),
      /** Version `X.Y.Z` of the oldest member of an external etcd. Default: etcd runs in the cluster. */
      externalEtcdVersion: z
        .string()
        .regex(/^\d+\.\d+\.\d+$/, 'expected a version such as 3.5.26')
        .optional(),
    })
    .prefault({}),
  /** How a node is drained. */
  drain: z
    .strictObject({
      /**
       * What a node is drained before. `kubelet`: only before its kubelet changes, as kubeadm documents; the
       * node serves while kubeadm upgrades its components. `kubeadm`: before anything. Default: kubelet.
       */
      before: z.enum(['kubelet', 'kubeadm']).default('kubelet'),
      /** Time limit for draining one node. Default: 15m. */
      timeout: positiveDuration.prefault('15m'),
      /** Grace period of every pod, as in `kubectl drain --grace-period`. Default: 5m. */
      gracePeriod: duration.prefault('5m'),
      /** Time until an eviction that a PodDisruptionBudget refused is tried again (F18). Default: 5s. */
      evictionRetry: positiveDuration.prefault('5s'),
      /**
       * Pods that may be deleted when their eviction stays refused. Default: none, so a budget that can never
       * allow an eviction stops the run at preflight (F17).
       */
      blockedPods: z.array(blockedPodRule(duration)).default([]),
    })
    .superRefine(({ timeout, blockedPods }, ctx) => {
      for (const i of outlastingRules(blockedPods, timeout)) {
        const message = 'expected wait plus deleteAfter to be shorter than drain.timeout';
        ctx.addIssue({ code: 'custom', path: ['blockedPods', i], message });
      }
    })
    .prefault({}),
  /** How long things may take. */
  timing: z
    .strictObject({
      /**
       * Soak after each worker; a gating alert during it stops the rollout, and one that is still pending is
       * waited for (F34). Default: 10m.
       */
      soak: duration.prefault('10m'),
      /** The same after each control-plane node; 0s: none. Default: 2m. */
      controlPlaneSoak: duration.prefault('2m'),
      /**
       * From the end of a node's script until the node is Ready at the target, and from the end of a soak's
       * time until the pods on the node are Ready. Default: 10m.
       */
      nodeReady: positiveDuration.prefault('10m'),
      /**
       * How long the API must show a control-plane node's static pods unchanged and Ready where the restarted
       * kubelet has reported nothing new about them and cannot be asked (F69). Default: 20s.
       */
      staticPods: positiveDuration.prefault('20s'),
      /** Time limit of one script on one node. Default: 45m. */
      script: positiveDuration.prefault('45m'),
      /** Duration of the executor's Lease, whole seconds. Default: 1m. */
      lease: positiveDuration.prefault('1m'),
      /** How long the API server may be away, as it is while the control plane is upgraded. Default: 10m. */
      apiOutage: positiveDuration.prefault('10m'),
      /** Time limit of one request to the API server. Default: 30s. */
      apiRequest: positiveDuration.prefault('30s'),
      /**
       * How long a Job may be unscheduled before it is reported with the scheduler's reason. Default: 90s.
       */
      unschedulable: positiveDuration.prefault('90s'),
    })
    .prefault({}),
  /** The etcd snapshots that a rollout takes. */
  snapshot: z
    .strictObject({
      /** Directory on the control-plane node. Default: /mnt/main/etcd-backup. */
      directory: absolutePath.default('/mnt/main/etcd-backup'),
      /** An older snapshot is replaced by a new one if no node was changed yet. Default: 1d. */
      maximumAge: positiveDuration.prefault('1d'),
      /** How many of the pipeline's snapshots stay; older ones are removed after a new one. Default: 10. */
      keep: z.int().min(2).max(9_999).default(10),
    })
    .prefault({}),
  /** Flags of kubeadm. */
  kubeadm: z
    .strictObject({
      /** Values of `--skip-phases`, for example addon/coredns (F21). Default: none. */
      skipPhases: z.array(kubeadmWord).default([]),
      /** Values of `--ignore-preflight-errors`. Default: none. */
      ignorePreflightErrors: z.array(kubeadmWord).default([]),
      /**
       * Value of `--patches`: a directory that every node has, with patches of manifests and of the kubelet's
       * configuration. Default: no patches.
       */
      patches: absolutePath.optional(),
    })
    .prefault({}),
});

/** Parsed settings: defaults filled in, durations in milliseconds. */
export type Settings = z.output<typeof settingsSchema>;
/** Settings as a person or a construct writes them. */
export type SettingsInput = z.input<typeof settingsSchema>;

/**
 * How long a gate is waited for at most that needs no more than time, such as the `for` of a pending alert's
 * rule. Milliseconds.
 */
export const longestWait = ({ gates }: Settings): number => 2 * gates.alertWait;

/**
 * Parses the settings.
 *
 * @param source name of the document for the error message, such as its file name.
 * @throws UpgradeError (badInput) naming every field that is wrong, what was given and what is allowed.
 */
export function parseSettings(source: string, document: unknown): Settings {
  return parseWith(settingsSchema, source, document);
}
