import { expect } from 'vitest';
import { pipeline, type Synthesized } from './synthesis.ts';

interface PodTemplate {
  readonly spec: {
    readonly container: readonly Record<string, unknown>[];
    readonly security_context: Record<string, unknown>;
    readonly volume: readonly { readonly name: string; readonly secret?: Record<string, unknown> }[];
    readonly toleration?: unknown;
    readonly priority_class_name?: string;
    readonly image_pull_secrets?: unknown;
    readonly service_account_name: string;
    readonly restart_policy: string;
  };
}

/** A synthesized CronJob, with the keys of Terraform. */
export interface CronJob {
  /** Labels and namespace. */
  readonly metadata: { readonly labels: Record<string, string>; readonly namespace: string };
  /** The specification, with the template of its Jobs. */
  readonly spec: {
    readonly [key: string]: unknown;
    readonly job_template: {
      readonly spec: { readonly [key: string]: unknown; readonly template: PodTemplate };
    };
  };
}

/** The CronJob `k8s-version-check` or `k8s-version-upgrade`. Throws for another name. */
export const cronJob = (name: string, from: Synthesized = pipeline()): CronJob =>
  from.named('kubernetes_cron_job_v1', name) as unknown as CronJob;

/** The keys of the credentials Secret that a CronJob mounts. */
export function secretItems(job: CronJob): string[] {
  const { volume } = job.spec.job_template.spec.template.spec;
  const items = volume.find((v) => v.name === 'credentials')?.secret?.items as {
    key: string;
    path: string;
  }[];
  return items.map(({ key, path }) => {
    expect(path).toBe(key);
    return key;
  });
}
