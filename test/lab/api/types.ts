import type * as k8s from '@kubernetes/client-node';

/** A client type in its JSON form: dates are RFC 3339 text. */
export type Wire<T> = T extends Date
  ? string
  : T extends (infer U)[]
    ? Wire<U>[]
    : T extends object
      ? { [K in keyof T]: Wire<T[K]> }
      : T;

export type ObjectMeta = Wire<k8s.V1ObjectMeta>;
export type OwnerReference = Wire<k8s.V1OwnerReference>;
export type LabelSelector = Wire<k8s.V1LabelSelector>;
export type PodSpec = Wire<k8s.V1PodSpec>;
export type PodStatus = Wire<k8s.V1PodStatus>;
export type PodTemplate = Wire<k8s.V1PodTemplateSpec>;
export type Container = Wire<k8s.V1Container>;
export type Taint = Wire<k8s.V1Taint>;
export type Toleration = Wire<k8s.V1Toleration>;
export type PolicyRule = Wire<k8s.V1PolicyRule>;
export type RoleRef = Wire<k8s.V1RoleRef>;
export type Subject = Wire<k8s.RbacV1Subject>;
export type NodeSelectorTerm = Wire<k8s.V1NodeSelectorTerm>;
export type PodFailurePolicy = Wire<k8s.V1PodFailurePolicy>;
export type Volume = Wire<k8s.V1Volume>;
export type KeyToPath = Wire<k8s.V1KeyToPath>;

/** Any object as a client sends it. */
export interface KubeObject {
  apiVersion?: string;
  kind?: string;
  metadata?: ObjectMeta;
  [field: string]: unknown;
}

type StoredMeta = ObjectMeta & {
  name: string;
  uid: string;
  resourceVersion: string;
  creationTimestamp: string;
};

/** An object as the store holds it: the identifying fields are always set. */
export type Stored<T = KubeObject> = T & { apiVersion: string; kind: string; metadata: StoredMeta };

export type Pod = Stored<Wire<k8s.V1Pod>>;
export type Node = Stored<Wire<k8s.V1Node>>;
export type Job = Stored<Wire<k8s.V1Job>>;
export type CronJob = Stored<Wire<k8s.V1CronJob>>;
export type Deployment = Stored<Wire<k8s.V1Deployment>>;
export type ReplicaSet = Stored<Wire<k8s.V1ReplicaSet>>;
export type DaemonSet = Stored<Wire<k8s.V1DaemonSet>>;
export type StatefulSet = Stored<Wire<k8s.V1StatefulSet>>;
export type PodDisruptionBudget = Stored<Wire<k8s.V1PodDisruptionBudget>>;
export type Namespace = Stored<Wire<k8s.V1Namespace>>;
export type ConfigMap = Stored<Wire<k8s.V1ConfigMap>>;
export type Secret = Stored<Wire<k8s.V1Secret>>;
export type CoreEvent = Stored<Wire<k8s.CoreV1Event>>;
export type Lease = Stored<Wire<k8s.V1Lease>>;
export type Role = Stored<Wire<k8s.V1Role>>;
export type RoleBinding = Stored<Wire<k8s.V1RoleBinding>>;
export type ServiceAccount = Stored<Wire<k8s.V1ServiceAccount>>;
export type Condition = {
  type: string;
  status: string;
  reason?: string;
  message?: string;
  lastTransitionTime?: string;
  [field: string]: unknown;
};

/** Stored type by resource; all other resources are {@link Stored}. */
export interface KnownTypes {
  pods: Pod;
  nodes: Node;
  jobs: Job;
  cronjobs: CronJob;
  deployments: Deployment;
  replicasets: ReplicaSet;
  daemonsets: DaemonSet;
  statefulsets: StatefulSet;
  poddisruptionbudgets: PodDisruptionBudget;
  namespaces: Namespace;
  configmaps: ConfigMap;
  secrets: Secret;
  events: CoreEvent;
  leases: Lease;
  roles: Role;
  clusterroles: Role;
  rolebindings: RoleBinding;
  clusterrolebindings: RoleBinding;
  serviceaccounts: ServiceAccount;
}

/** The stored type of a resource. */
export type TypeOf<R extends string> = R extends keyof KnownTypes ? KnownTypes[R] : Stored;
