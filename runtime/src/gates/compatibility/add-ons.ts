import type { V1Pod } from '@kubernetes/client-node';
import semver from 'semver';
import { isFinished } from '../../cluster/pods.ts';
import { UpgradeError } from '../../errors.ts';
import { minorOf, type Release } from '../../release.ts';
import type { AddOnRule } from '../../settings/add-on-rule.ts';
import { beforeMinor } from './before-minor.ts';

/** Compares the images of running pods with the operator's table of add-ons, `gates.addOns`. */
export const addOns = beforeMinor({
  name: 'add-ons',
  summary: 'the table gates.addOns excludes no running add-on from the target',
  scope: 'control plane',
  async check({ cluster, settings, target }) {
    const pods = (await cluster.pods()).filter((pod) => !isFinished(pod));
    const rules = settings.gates.addOns;
    const judged = imagesOf(pods).map((image) => judge(image, rules, target));
    const unknown = judged.flatMap(({ unknown: why = [] }) => why);
    const reasons = judged.flatMap(({ excluded = [] }) => excluded);
    // Without an excluded add-on, an unknown version makes the answer unknown. Either way the gate is closed.
    if (reasons.length === 0 && unknown.length > 0) throw new UpgradeError('blocked', unknown.join('; '));
    const withoutRow = judged.flatMap(({ withoutRow: note = [] }) => note);
    return { reasons: [...reasons, ...unknown], notes: [...withoutRow, ...unlisted(pods, rules)] };
  },
});

interface Judgement {
  readonly excluded?: readonly string[];
  readonly unknown?: readonly string[];
  readonly withoutRow?: readonly string[];
}

function judge(image: Image, rules: readonly AddOnRule[], target: Release): Judgement {
  const named = rules.filter((rule) => matches(rule, image));
  const [first] = named;
  if (first === undefined) return {};
  const { version } = image;
  if (version === undefined)
    return {
      unknown: [`${image.text} does not show the version of ${first.name}; use a tag that does`],
    };
  const rows = named.filter((rule) => semver.satisfies(version, rule.versions));
  if (rows.length === 0) return { withoutRow: [`gates.addOns has no row for ${first.name} ${version}`] };
  const excluding = rows.filter((rule) => !semver.satisfies(target, rule.kubernetes));
  return {
    excluded: excluding.map(
      ({ name, kubernetes }) =>
        `${name} ${version} supports Kubernetes ${kubernetes} according to gates.addOns, not ${minorOf(target)}; upgrade it first`,
    ),
  };
}

interface Image {
  /** As it stands in the pod. */
  readonly text: string;
  /** Without tag and digest. */
  readonly repository: string;
  /** From the tag; undefined when the tag names no version. */
  readonly version: string | undefined;
}

/** Each distinct image once, sorted. */
function imagesOf(pods: readonly V1Pod[]): Image[] {
  const texts = pods.flatMap((pod) => pod.spec?.containers.map((container) => container.image ?? '') ?? []);
  return [...new Set(texts)].sort().map(parseImage);
}

function parseImage(text: string): Image {
  const [named = ''] = text.split('@');
  const [, repository = named, tag = ''] = /^(.*?)(?::([\w.-]+))?$/.exec(named) ?? [];
  // A commit hash must not be read as a version.
  const version = /^v?\d+\.\d+/.test(tag) ? semver.coerce(tag)?.version : undefined;
  return { text, repository, version };
}

function matches({ image }: AddOnRule, { repository }: Image): boolean {
  const pattern = image
    .split('*')
    .map((part) => part.replace(/[.]/g, '\\.'))
    .join('.*');
  return new RegExp(`^${pattern}$`).test(repository);
}

/** Images that kubeadm installs and upgrades itself. */
const kubeadmOwn = /\/(etcd|coredns|kube-(apiserver|controller-manager|scheduler|proxy))$/;

/** Images of the cluster's own machinery that kubeadm does not manage and no row covers. */
function unlisted(pods: readonly V1Pod[], rules: readonly AddOnRule[]): string[] {
  const machinery = pods.filter(
    ({ metadata, spec }) =>
      metadata?.namespace === 'kube-system' || spec?.priorityClassName?.startsWith('system-') === true,
  );
  const left = imagesOf(machinery).filter(
    (image) => !kubeadmOwn.test(image.repository) && !rules.some((rule) => matches(rule, image)),
  );
  if (left.length === 0) return [];
  return [`gates.addOns has no row for ${left.map(({ text }) => text).join(', ')}; check them yourself`];
}
