import type { V1Pod } from '@kubernetes/client-node';
import semver from 'semver';
import { isFinished } from '../../cluster/pods.ts';
import { UpgradeError } from '../../errors.ts';
import { minorOf, type Release } from '../../release.ts';
import type { AddOnRule } from '../../settings/add-on-rule.ts';
import { beforeMinor } from './before-minor.ts';

export const addOns = beforeMinor({
  name: 'add-ons',
  summary: 'no add-on is running that its row in gates.addOns excludes from the target',
  scope: 'control plane',
  async check({ cluster, settings, target }) {
    const pods = (await cluster.pods()).filter((pod) => !isFinished(pod));
    const rules = settings.gates.addOns;
    const judged = imagesOf(pods).map((image) => judge(image, rules, target));
    const unknown = judged.flatMap(({ unknown: why = [] }) => why);
    const reasons = judged.flatMap(({ excluded = [] }) => excluded);
    // What is known to be wrong is said first; what is not known closes the gate by itself.
    if (reasons.length === 0 && unknown.length > 0) throw new UpgradeError('blocked', unknown.join('; '));
    const silent = judged.flatMap(({ silent: note = [] }) => note);
    return { reasons: [...reasons, ...unknown], notes: [...silent, ...unlisted(pods, rules)] };
  },
});

interface Judgement {
  readonly excluded?: readonly string[];
  readonly unknown?: readonly string[];
  readonly silent?: readonly string[];
}

function judge(image: Image, rules: readonly AddOnRule[], target: Release): Judgement {
  const named = rules.filter((rule) => matches(rule, image));
  const [first] = named;
  if (first === undefined) return {};
  const { version } = image;
  if (version === undefined)
    return {
      unknown: [`${image.text} does not say which ${first.name} it is; give it a tag with its version`],
    };
  const rows = named.filter((rule) => semver.satisfies(version, rule.versions));
  if (rows.length === 0)
    return { silent: [`no row of gates.addOns says what ${first.name} ${version} supports`] };
  const excluding = rows.filter((rule) => !semver.satisfies(target, rule.kubernetes));
  return {
    excluded: excluding.map(
      ({ name, kubernetes }) =>
        `${name} ${version} supports Kubernetes ${kubernetes} by gates.addOns, and not ${minorOf(target)}; upgrade it first`,
    ),
  };
}

interface Image {
  readonly text: string;
  /** Without tag and digest. */
  readonly repository: string;
  /** Of the tag; undefined when it names none. */
  readonly version: string | undefined;
}

/** Each image once, by its text. */
function imagesOf(pods: readonly V1Pod[]): Image[] {
  const texts = pods.flatMap((pod) => pod.spec?.containers.map((container) => container.image ?? '') ?? []);
  return [...new Set(texts)].sort().map(parseImage);
}

function parseImage(text: string): Image {
  const [named = ''] = text.split('@');
  const [, repository = named, tag = ''] = /^(.*?)(?::([\w.-]+))?$/.exec(named) ?? [];
  // A hash of a commit must not pass for a version.
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

/** kubeadm brings these along. */
const kubeadmOwn = /\/(etcd|coredns|kube-(apiserver|controller-manager|scheduler|proxy))$/;

/** What runs as part of the cluster's own machinery, is not kubeadm's, and is in no row. */
function unlisted(pods: readonly V1Pod[], rules: readonly AddOnRule[]): string[] {
  const machinery = pods.filter(
    ({ metadata, spec }) =>
      metadata?.namespace === 'kube-system' || spec?.priorityClassName?.startsWith('system-') === true,
  );
  const left = imagesOf(machinery).filter(
    (image) => !kubeadmOwn.test(image.repository) && !rules.some((rule) => matches(rule, image)),
  );
  if (left.length === 0) return [];
  return [`gates.addOns says nothing of ${left.map(({ text }) => text).join(', ')}; check by hand`];
}
