import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { type TwinName, Twins } from './twins.ts';

const from = '1.34.2';
const target = '1.34.4';
/** Has no images. */
const missing = '1.34.3';

/** A call of the product, or of its node scripts, to a program of a node. */
interface Call {
  /** Bash, run as root on the real node and on its double. */
  readonly line: string;
  /** @default the control-plane node */
  readonly on?: TwinName;
  /** The exit code that both must have. */
  readonly exit: number;
  /** What the product reads of the output; must be equal, and not empty. */
  readonly reads: Reads;
}

/** A state of both nodes, and the calls that the product makes in it. */
interface Situation {
  readonly title: string;
  /** Runs before its calls. */
  readonly enter?: (twins: Twins) => Promise<unknown>;
  /** Runs after its calls. */
  readonly leave?: (twins: Twins) => Promise<unknown>;
  readonly calls: readonly Call[];
}

type Reads = (output: string) => unknown;

/** Only the exit code. */
const exitCode: Reads = () => 'nothing';
/** All of it. */
const everything: Reads = (output) => output.trimEnd();
/** The lines that match. */
const lines =
  (pattern: RegExp): Reads =>
  (output) =>
    output.split('\n').filter((line) => pattern.test(line));
/** The diffs of the manifests, which kubeadm prints in the order of a Go map: another one at each call. */
const diffs: Reads = (output) =>
  output
    .split(/^(?=--- )/m)
    .filter((diff) => diff.startsWith('--- '))
    .map(lines(/^([-+ ]|@@)/))
    .toSorted();
/** The files that kubeadm would write. */
const wouldWrite: Reads = (output) =>
  [...output.matchAll(/\[dryrun\] Would write file "([^"]+)" with content:\napiVersion: /g)].map(
    ([, path]) => path,
  );
/** The same without the file that only a kubelet with a socket of its own has. */
const wouldWriteConfig: Reads = (output) =>
  (wouldWrite(output) as string[]).filter((path) => path.endsWith('/config.yaml'));
/** The manifests of add-ons that the product compares, less what their images are. */
const addOnManifests: Reads = (output) =>
  output
    .split(/^---\n?/m)
    .map((text) => text.split(/^\[/m)[0] ?? '')
    .filter((text) => /^kind: (Deployment|DaemonSet)$/m.test(text))
    .map((text) => parse(text.replace(/image: .*/, 'image: IMAGE')) as unknown);
/** Whether some text is there. */
const says =
  (pattern: RegExp): Reads =>
  (output) =>
    pattern.test(output);
/** That some text is not there. */
const lacks =
  (pattern: RegExp): Reads =>
  (output) =>
    !pattern.test(output);
/** What the groups of a pattern match. */
const part =
  (pattern: RegExp): Reads =>
  (output) =>
    pattern.exec(output)?.slice(1) ?? [];
/** The kinds of values in the line of JSON that begins with this character. */
const shape =
  (first: '{"hash' | '['): Reads =>
  (output) => {
    const line = output.split('\n').find((one) => one.startsWith(first));
    return line === undefined ? undefined : kinds(JSON.parse(line));
  };

function kinds(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(kinds);
  if (typeof value === 'string') return value;
  if (typeof value !== 'object' || value === null) return typeof value === 'boolean' ? value : typeof value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, kinds(one)]));
}

/** What must differ between a node and its double: addresses, ports, process numbers, hashes, times. */
const differing: readonly (readonly [RegExp, string])[] = [
  [/\r/g, ''],
  // There is no registry: why the real one does not answer.
  [/(failed to resolve reference \\?"[^"]*"): .*/g, '$1: WHY'],
  [/rpc error: code = NotFound desc = (?=failed to pull)/g, ''],
  [/Could not connect to \S+ \(\S+\)/g, 'Could not connect to HOST (ADDRESS)'],
  // The lab's manifests are shorter.
  [/^@@ -\d+ \+\d+ @@/gm, '@@ -LINE +LINE @@'],
  [/http:\/\/[\d.]+:\d+/g, 'http://REPOSITORY'],
  [/\b(198\.18\.\d+\.\d+|127\.0\.1\.\d+)\b/g, 'ADDRESS'],
  [/\b127\.0\.0\.1 \d+\]|\bADDRESS \d+\]/g, 'ADDRESS PORT]'],
  [/\b(ADDRESS|127\.0\.0\.1):\d{5}\b/g, 'ADDRESS:PORT'],
  [/\bprocess \d+ \(/g, 'process NUMBER ('],
  [/\bpid \d+/g, 'pid NUMBER'],
  [/\b[0-9a-f]{64}\b/g, 'ID'],
  [/\b(NO_PUBKEY|EXPKEYSIG) [0-9A-F]{16}/g, '$1 KEY'],
  [/\bupgrade-health-check-\w+/g, 'upgrade-health-check-ID'],
  [/"took":"[\d.]+m?s"/g, '"took":"TIME"'],
  [/:v1\.34:[\w.]+ \[/g, ':v1.34:HOST ['],
];

const normalized = (output: string): string =>
  differing.reduce((text, [pattern, substitute]) => text.replace(pattern, substitute), output);

/** The static pods in a kubelet's list: their names, and that each has a hash and is no mirror. */
const staticPods: Reads = (output) => {
  const { items } = JSON.parse(output) as PodList;
  return items
    .map(({ metadata: { name, annotations = {} } }) => ({
      name,
      hash: typeof annotations['kubernetes.io/config.hash'],
      mirror: typeof annotations['kubernetes.io/config.mirror'],
    }))
    .filter(({ hash }) => hash === 'string')
    .toSorted((a, b) => a.name.localeCompare(b.name));
};
interface PodList {
  readonly items: readonly { metadata: { name: string; annotations?: Record<string, string> } }[];
}

const worker = 'k8s-node1';
const kubeletPods =
  'kubectl --kubeconfig=/etc/kubernetes/admin.conf --request-timeout=5s get --raw /api/v1/nodes/k8s-master/proxy/pods';
const probe = (scheme: 'http' | 'https', port: number, path: string) =>
  `kubectl --kubeconfig=/dev/null --username=probe --password=probe --server=${scheme}://127.0.0.1:${port} --insecure-skip-tls-verify --request-timeout=5s get --raw ${path}`;
const debian = 'env LC_ALL=C DEBIAN_FRONTEND=noninteractive';
const aptGet = `${debian} NEEDRESTART_SUSPEND=1 apt-get -q -y`;
const source = '$K8S_UPGRADE_ROOT/etc/apt/sources.list.d/kubernetes.list';
const update = `${aptGet} -o DPkg::Lock::Timeout=900 update -o Dir::Etc::sourcelist=${source} -o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0`;
const install = `${aptGet} -o DPkg::Lock::Timeout=1 install --no-install-recommends -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold`;
const prepare = `${aptGet} install --no-install-recommends --no-remove --allow-change-held-packages`;
const archives = '$K8S_UPGRADE_ROOT/var/cache/apt/archives';
const keyring = '/etc/apt/keyrings/kubernetes-apt-keyring.gpg';
const configure = `${debian} dpkg --force-confdef --force-confold --configure -a`;
/** What check_update and refresh_source look for. */
const complaints =
  /^(E|W|Err)[:0-9]|EXPKEYSIG|KEYEXPIRED|NO_PUBKEY|is not signed|Failed to fetch|Could not get lock/;
const socket = 'unix:///run/containerd/containerd.sock';
const images = `crictl --runtime-endpoint ${socket} --image-endpoint ${socket}`;
const etcdOf = (pod: string) =>
  `crictl ps --state Running --label io.kubernetes.container.name=etcd --label io.kubernetes.pod.namespace=kube-system --label io.kubernetes.pod.name=${pod} -q`;
const etcdId = etcdOf('etcd-k8s-master');
const inEtcd = `crictl exec "$(${etcdId})"`;
const pki = '/etc/kubernetes/pki/etcd';
const tls = `--cacert=${pki}/ca.crt --cert=${pki}/server.crt --key=${pki}/server.key`;
const etcdctl = `${inEtcd} etcdctl --endpoints=https://127.0.0.1:2379 ${tls}`;
const health = `${etcdctl} endpoint health --cluster -w json`;
const offers = (release: string) =>
  new RegExp(`kubeadm upgrade apply v${release.replaceAll('.', '[.]')}( |$)`, 'm');
const manifests = '$K8S_UPGRADE_ROOT/etc/kubernetes/manifests';
/** What phases_of reads. */
const phases = /^(```|[a-z-]+ {2,}| +\/)|--skip-phases/;
/** kubeadm's errors as explain_kubeadm and the gate read them. */
const errors = /\[ERROR .*|^error: .*/;

const both =
  (line: string, name: TwinName = 'k8s-master') =>
  (twins: Twins) =>
    twins.run(name, line);

/** Takes a lock as another program does; `line` is run while it is held. */
const holding = (path: string) => async (twins: Twins) => {
  // struct flock of a 64-bit Linux.
  const script = `use Fcntl; open(my $f, ">>", "${path}") or die;
my $l = pack("s s x4 q q l x4", F_WRLCK, 0, 0, 0, 0); fcntl($f, F_SETLK, $l) or die; sleep 300;`;
  await twins.onReal(worker, `perl -e '${script}' >/dev/null 2>&1 & echo $! >/run/locker; sleep 0.5`);
  twins.double(worker).faults.set('apt-lock', { holder: 'perl' });
};
const letGo = async (twins: Twins) => {
  await twins.onReal(worker, 'kill "$(</run/locker)"');
  twins.double(worker).faults.clear('apt-lock');
};

const situations: readonly Situation[] = [
  {
    title: `as it was installed, at ${from}`,
    calls: [
      { line: 'kubelet --version', exit: 0, reads: everything },
      { line: 'kubeadm version -o short', exit: 0, reads: everything },
      {
        line: `kubeadm config images list --kubernetes-version v${target} 2>/dev/null`,
        exit: 0,
        reads: everything,
      },
      { line: 'containerd --version', exit: 0, reads: part(/^containerd (\S+) (\S+)/) },
      { line: 'crictl version 2>/dev/null', exit: 0, reads: lines(/^RuntimeVersion:/) },
      { line: `dpkg-query -W -f='\${Version}' kubeadm 2>/dev/null`, exit: 0, reads: everything },
      { line: `dpkg-query -W -f='\${Version}' containerd.io`, exit: 1, reads: everything },
      { line: `dpkg-query -W -f='\${Version}' containerd`, exit: 0, reads: everything },
      { line: '[[ -z $(dpkg --audit) ]]', exit: 0, reads: exitCode },
      { line: 'LC_ALL=C apt-cache madison kubeadm', exit: 0, reads: everything },
      { line: '[[ -z $(LC_ALL=C apt-cache madison none) ]]', exit: 0, reads: exitCode },
      { line: 'apt-mark showhold', exit: 0, reads: everything },
      { line: `${debian} apt-mark hold kubeadm`, exit: 0, reads: everything },
      { line: `${debian} apt-mark hold none`, exit: 100, reads: everything },
      {
        line: 'value=; eval "$(apt-config shell value Acquire::http::Proxy)"; [[ -z $value ]]',
        exit: 0,
        reads: exitCode,
      },
      { line: 'systemctl is-active --quiet kubelet', exit: 0, reads: exitCode },
      { line: 'systemctl daemon-reload', exit: 0, reads: exitCode },
      {
        line: 'df -Pm /tmp | awk \'NR == 2 { print $4 }\' | grep -x "[0-9]*" | wc -l',
        exit: 0,
        reads: everything,
      },
      { line: 'id -un', exit: 0, reads: everything },
      { line: 'sudo -n none', exit: 1, reads: everything },
      { line: update, exit: 0, reads: lacks(new RegExp(complaints, 'm')) },
      ...['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler'].map(
        (name): Call => ({
          line: `cat ${manifests}/${name}.yaml`,
          exit: 0,
          reads: part(new RegExp(`image: \\S*/${name}:(\\S+)`)),
        }),
      ),
      {
        line: `cat ${manifests}/etcd.yaml`,
        exit: 0,
        reads: lines(/--(data-dir|cert-file|key-file|trusted-ca-file)=/),
      },
      { line: 'uname -n', exit: 0, reads: everything },
      {
        line: `cat ${manifests}/etcd.yaml`,
        exit: 0,
        reads: part(/--listen-client-urls=(https:\/\/127\.0\.0\.1:\d+)/),
      },
    ],
  },
  {
    title: 'etcd, and a snapshot of it',
    calls: [
      { line: etcdId, exit: 0, reads: everything },
      { line: `[[ -z $(${etcdOf('etcd-other')}) ]]`, exit: 0, reads: exitCode },
      { line: `[[ -z $(${etcdId}) ]]`, on: worker, exit: 0, reads: exitCode },
      { line: 'crictl ps --state None -q', exit: 1, reads: part(/(--state should be .*)/) },
      { line: 'crictl exec none etcdutl version', exit: 1, reads: part(/^(execing command .*)/m) },
      { line: `${inEtcd} none`, exit: 1, reads: part(/(exec: "none": executable file not found in \$PATH)/) },
      { line: `${inEtcd} etcdutl version`, exit: 0, reads: everything },
      { line: health, exit: 0, reads: shape('[') },
      {
        line: `${etcdctl} snapshot save /var/lib/etcd/s.db`,
        exit: 0,
        reads: lines(/^Snapshot saved|^Server version/),
      },
      { line: `${etcdctl} snapshot save /none/s.db`, exit: 1, reads: lines(/^Error|^execing/) },
      {
        line: `${inEtcd} etcdutl snapshot status /var/lib/etcd/s.db -w json`,
        exit: 0,
        reads: shape('{"hash'),
      },
      {
        line: `${inEtcd} etcdutl snapshot status /var/lib/etcd/none.db -w json`,
        exit: 1,
        reads: lines(/^Error|^execing/),
      },
      {
        line: `cd $K8S_UPGRADE_ROOT/var/lib/etcd && head -c 9000 s.db >t.db && ${inEtcd} etcdutl snapshot status /var/lib/etcd/t.db -w json`,
        exit: 1,
        reads: lacks(/"hash"/),
      },
      {
        line: `${inEtcd} etcdctl snapshot status /var/lib/etcd/s.db -w json`,
        exit: 0,
        reads: lacks(/"hash"/),
      },
    ],
    leave: both('rm -f $K8S_UPGRADE_ROOT/var/lib/etcd/*.db'),
  },
  {
    title: 'images, and where they come from',
    enter: (twins) => {
      twins.double(worker).faults.set('no-images', { matching: 'none' });
      return Promise.resolve();
    },
    leave: (twins) => {
      twins.double(worker).faults.clear('no-images');
      return Promise.resolve();
    },
    calls: [
      {
        line: `${images} inspecti --quiet registry.k8s.io/kube-proxy:v${from} >/dev/null`,
        on: worker,
        exit: 0,
        reads: exitCode,
      },
      {
        line: `${images} inspecti --quiet registry.k8s.io/none:v1 >/dev/null 2>&1`,
        on: worker,
        exit: 1,
        reads: exitCode,
      },
      {
        line: `${images} pull registry.k8s.io/none:v1`,
        on: worker,
        exit: 1,
        reads: part(/level=fatal msg="(.*)/),
      },
      {
        line: "kubectl --kubeconfig $K8S_UPGRADE_ROOT/etc/kubernetes/kubelet.conf --cache-dir $K8S_UPGRADE_ROOT/tmp/cache --request-timeout=30s -n kube-system get configmap kubeadm-config -o 'jsonpath={.data.ClusterConfiguration}'",
        on: worker,
        exit: 0,
        reads: lines(/^(apiVersion|kind|kubernetesVersion|imageRepository): /),
      },
    ],
  },
  {
    title: 'a member of etcd that does not answer',
    enter: async (twins) => {
      const { address } = twins.real.node('k8s-master');
      await twins.onReal('k8s-master', `iptables -I INPUT -p tcp -d ${address} --dport 2379 -j DROP`);
      twins.double('k8s-master').faults.set('etcd-unhealthy', {});
    },
    leave: async (twins) => {
      await twins.onReal('k8s-master', 'iptables -D INPUT 1');
      twins.double('k8s-master').faults.clear('etcd-unhealthy');
    },
    calls: [
      { line: health, exit: 1, reads: shape('[') },
      { line: health, exit: 1, reads: lines(/^Error|^execing/) },
    ],
  },
  {
    title: 'containerd stopped',
    enter: both('systemctl stop containerd', worker),
    leave: both('systemctl restart containerd', worker),
    calls: [
      { line: 'systemctl is-active --quiet containerd', on: worker, exit: 3, reads: exitCode },
      { line: 'systemctl is-active containerd', on: worker, exit: 3, reads: everything },
      { line: '[[ -z $(crictl version 2>/dev/null) ]]', on: worker, exit: 0, reads: exitCode },
      { line: etcdId, on: worker, exit: 1, reads: part(/msg="(.*)"/) },
    ],
  },
  {
    title: 'containerd that does not start',
    enter: async (twins) => {
      await twins.onReal(
        worker,
        'cd /etc/containerd && cp config.toml old && echo "version = [" >config.toml',
      );
      twins.double(worker).faults.set('containerd-fails', {});
    },
    leave: async (twins) => {
      await twins.onReal(worker, 'mv /etc/containerd/old /etc/containerd/config.toml');
      twins.double(worker).faults.clear('containerd-fails');
      await twins.run(worker, 'systemctl restart containerd');
    },
    calls: [
      { line: 'systemctl restart containerd', on: worker, exit: 1, reads: everything },
      { line: 'systemctl is-active --quiet containerd', on: worker, exit: 3, reads: exitCode },
      { line: 'systemctl is-active containerd', on: worker, exit: 3, reads: everything },
    ],
  },
  {
    title: 'a kubelet that does not start',
    enter: async (twins) => {
      await twins.onReal(worker, 'mv /var/lib/kubelet/config.yaml /root');
      twins.double(worker).faults.set('kubelet-fails', {});
    },
    leave: async (twins) => {
      await twins.onReal(worker, 'mv /root/config.yaml /var/lib/kubelet');
      twins.double(worker).faults.clear('kubelet-fails');
      await twins.run(worker, 'systemctl restart kubelet');
    },
    calls: [
      {
        line: 'systemctl restart kubelet; sleep 2; systemctl is-active --quiet kubelet',
        on: worker,
        exit: 3,
        reads: exitCode,
      },
      { line: 'systemctl is-active kubelet', on: worker, exit: 3, reads: everything },
    ],
  },
  {
    title: "a kubelet's list of its static pods",
    calls: [
      {
        // A kubelet that has just started lists none yet.
        line: `systemctl restart kubelet && for i in $(seq 60); do list=$(${kubeletPods} 2>/dev/null) && grep -q kube-scheduler <<<"$list" && break; sleep 0.5; done; cat <<<"$list"`,
        exit: 0,
        reads: staticPods,
      },
      { line: kubeletPods.replace('master', 'none'), exit: 1, reads: exitCode },
    ],
  },
  {
    title: "the probes of a component, as a kubelet's",
    calls: [
      { line: probe('https', 10_257, '/healthz'), exit: 0, reads: everything },
      { line: probe('https', 10_259, '/readyz'), exit: 0, reads: everything },
      { line: probe('http', 2_381, '/readyz'), exit: 0, reads: exitCode },
      { line: probe('https', 10_259, '/readyz'), on: worker, exit: 1, reads: everything },
      { line: probe('https', 1, '/readyz'), exit: 1, reads: everything },
    ],
  },
  {
    title: 'kubeadm of the old release',
    calls: [
      { line: `kubeadm upgrade plan v${target}`, exit: 0, reads: says(offers(target)) },
      {
        line: `kubeadm upgrade plan v${target} --ignore-preflight-errors=CoreDNSMigration`,
        exit: 0,
        reads: says(offers(target)),
      },
      { line: 'kubeadm upgrade plan v1.35.0', exit: 0, reads: says(offers('1.35.0')) },
      { line: 'kubeadm upgrade plan v1.36.0', exit: 0, reads: says(offers('1.36.0')) },
      { line: `kubeadm upgrade plan v${from}`, exit: 0, reads: lacks(/kubeadm upgrade apply/) },
      { line: 'kubeadm upgrade plan v1.34.1', exit: 0, reads: lacks(/kubeadm upgrade apply/) },
      { line: `kubeadm upgrade plan v${target}`, on: worker, exit: 1, reads: everything },
      { line: `kubeadm upgrade diff v${target} 2>/dev/null`, exit: 0, reads: diffs },
      { line: `kubeadm upgrade diff v${from} 2>/dev/null`, exit: 0, reads: lacks(/^([-+]|@@)/m) },
      { line: `kubeadm upgrade diff v${target}`, on: worker, exit: 1, reads: everything },
      { line: 'kubeadm upgrade node phase control-plane --dry-run', exit: 0, reads: wouldWrite },
      {
        line: 'kubeadm upgrade node phase kubelet-config --dry-run',
        on: worker,
        exit: 0,
        reads: wouldWriteConfig,
      },
      { line: 'kubeadm upgrade node phase addon --help >/dev/null', exit: 0, reads: exitCode },
      { line: 'kubeadm upgrade node phase addon all --dry-run 2>/dev/null', exit: 0, reads: addOnManifests },
      {
        line: 'kubeadm init phase etcd local --dry-run --config /dev/null --patches=/tmp',
        exit: 1,
        reads: lines(/can not mix/),
      },
      { line: `kubeadm upgrade apply v${target} --yes`, exit: 1, reads: lines(/^error: |^\t- |^Can be/) },
      { line: `kubeadm upgrade apply v${target} --yes --skip-phases=none`, exit: 1, reads: lines(errors) },
      { line: `kubeadm upgrade apply v${target} --yes`, on: worker, exit: 1, reads: lines(errors) },
      { line: 'kubeadm upgrade node --skip-phases=bootstrap-token', exit: 1, reads: lines(errors) },
      { line: 'kubeadm upgrade apply --help', exit: 0, reads: lines(phases) },
      { line: 'kubeadm upgrade node --help', exit: 0, reads: lines(phases) },
      { line: 'kubeadm upgrade apply v1.35.0 --yes', exit: 1, reads: lines(/^error: |^\t- |^Please/) },
      { line: 'kubeadm upgrade apply v1.36.0 --yes', exit: 1, reads: lines(/^error: |^\t- |^Please/) },
      { line: 'kubeadm upgrade apply v1.32.0 --yes', exit: 1, reads: lines(/^error: |^\t- |^Please/) },
    ],
  },
  {
    title: 'a flag that somebody added to a manifest',
    enter: both(`sed -i 's/^    - kube-scheduler$/&\\n    - --v=3/' ${manifests}/kube-scheduler.yaml`),
    leave: both(`sed -i '/- --v=3/d' ${manifests}/kube-scheduler.yaml`),
    calls: [{ line: `kubeadm upgrade diff v${target} 2>/dev/null`, exit: 0, reads: diffs }],
  },
  {
    title: 'a CoreDNS that kubeadm does not know',
    enter: async (twins) => {
      await image(twins, '1.14.0');
      twins.double('k8s-master').faults.set('coredns', {});
    },
    leave: async (twins) => {
      await image(twins, '1.12.1');
      twins.double('k8s-master').faults.clear('coredns');
    },
    calls: [
      { line: `kubeadm upgrade plan v${target}`, exit: 1, reads: lines(errors) },
      {
        line: `kubeadm upgrade plan v${target} --ignore-preflight-errors=CoreDNSMigration,CoreDNSUnsupportedPlugins`,
        exit: 0,
        reads: says(offers(target)),
      },
      { line: `kubeadm upgrade apply v${target} --yes`, exit: 1, reads: lines(errors) },
    ],
  },
  {
    title: 'a cluster in which no Job completes',
    enter: async (twins) => {
      await twins.real.kubectl('--namespace=kube-system', 'create', 'quota', 'none', '--hard=pods=0');
      twins.double('k8s-master').faults.set('late-job-plan', { times: 1 });
      twins.double('k8s-master').faults.set('late-job-apply', { times: 1 });
    },
    leave: (twins) => twins.real.kubectl('--namespace=kube-system', 'delete', 'quota', 'none'),
    calls: [
      { line: `kubeadm upgrade plan v${target}`, exit: 1, reads: lines(errors) },
      { line: `kubeadm upgrade apply v${target} --yes`, exit: 1, reads: lines(errors) },
    ],
  },
  {
    title: `packages of ${target} in the repository`,
    enter: (twins) => twins.publish(target),
    calls: [
      { line: update, on: worker, exit: 0, reads: lacks(new RegExp(complaints, 'm')) },
      { line: 'LC_ALL=C apt-cache madison kubeadm', on: worker, exit: 0, reads: everything },
      { line: `${install} kubeadm=${from}-1.1`, on: worker, exit: 0, reads: lacks(/^E:/m) },
      {
        line: `${prepare} --simulate kubeadm=${target}-1.1`,
        on: worker,
        exit: 0,
        reads: lines(/^(E:|Inst|Conf|Remv)/),
      },
      { line: `${prepare} --simulate kubeadm=1.34.9-1.1`, on: worker, exit: 100, reads: lines(/^E:/) },
      { line: `${prepare} --download-only kubeadm=${target}-1.1`, on: worker, exit: 0, reads: lacks(/^E:/m) },
      {
        line: `ls ${archives}/kubeadm_${target}-1.1_*.deb | xargs -n 1 basename`,
        on: worker,
        exit: 0,
        reads: everything,
      },
      {
        line: `dpkg-deb --fsys-tarfile ${archives}/kubeadm_${target}-1.1_*.deb | tar -xO --wildcards '*usr/bin/kubeadm' >$K8S_UPGRADE_ROOT/tmp/new && chmod 700 $K8S_UPGRADE_ROOT/tmp/new && $K8S_UPGRADE_ROOT/tmp/new version -o short`,
        on: worker,
        exit: 0,
        reads: everything,
      },
      {
        line: 'cd $K8S_UPGRADE_ROOT/tmp && apt-get -q -y download kubeadm=1.34.9-1.1',
        on: worker,
        exit: 100,
        reads: lines(/^E:/),
      },
      { line: `${install} kubeadm=1.34.9-1.1`, on: worker, exit: 100, reads: lines(/^E:/) },
      { line: `${install} none=1`, on: worker, exit: 100, reads: lines(/^E:/) },
      { line: `${install} kubeadm=${target}-1.1`, on: worker, exit: 100, reads: lines(/^E:/) },
      { line: `${install} -s kubeadm=${target}-1.1`, on: worker, exit: 100, reads: lines(/^(E:|Inst|Conf)/) },
      { line: `${debian} apt-mark unhold kubeadm`, on: worker, exit: 0, reads: everything },
      { line: `${debian} apt-mark unhold kubeadm`, on: worker, exit: 0, reads: everything },
      { line: `${install} -s kubeadm=${target}-1.1`, on: worker, exit: 0, reads: lines(/^(E:|Inst|Conf)/) },
    ],
  },
  {
    title: 'the lock of dpkg, held by another program',
    enter: holding('/var/lib/dpkg/lock-frontend'),
    leave: letGo,
    calls: [
      { line: `${install} kubeadm=${target}-1.1`, on: worker, exit: 100, reads: lines(/^E:/) },
      { line: `${debian} apt-mark hold kubeadm`, on: worker, exit: 100, reads: everything },
      { line: `${debian} apt-mark hold kubelet`, on: worker, exit: 0, reads: everything },
      { line: configure, on: worker, exit: 2, reads: everything },
    ],
  },
  {
    title: 'the lock of the package lists, held by another program',
    enter: holding('/var/lib/apt/lists/lock'),
    leave: letGo,
    calls: [{ line: update, on: worker, exit: 100, reads: lines(complaints) }],
  },
  {
    title: 'a repository that does not exist',
    enter: both(`sed -i s/v1.34/v1.99/ ${source}`, worker),
    leave: both(`sed -i s/v1.99/v1.34/ ${source}`, worker),
    calls: [{ line: update, on: worker, exit: 100, reads: lines(complaints) }],
  },
  {
    title: 'no way to the repository',
    enter: async (twins) => {
      const { gateway } = twins.real.network;
      const port = new URL(twins.real.repository.base).port;
      const refuse = `OUTPUT -p tcp -d ${gateway} --dport ${port} -j REJECT --reject-with icmp-host-unreachable`;
      await twins.onReal(worker, `apt-get clean; iptables -I ${refuse}`);
      for (const fault of ['no-route-update', 'no-route-install'] as const)
        twins.double(worker).faults.set(fault, { times: 1 });
    },
    leave: (twins) => twins.onReal(worker, 'iptables -D OUTPUT 1'),
    calls: [
      { line: update, on: worker, exit: 0, reads: lines(complaints) },
      { line: `${install} kubeadm=${target}-1.1`, on: worker, exit: 100, reads: lines(/^E:/) },
    ],
  },
  {
    title: 'a signing key that is missing',
    enter: both(
      'cd $K8S_UPGRADE_ROOT/etc/apt/keyrings && mv *.gpg /tmp/key-$LAB_NODE_NAME && : >kubernetes-apt-keyring.gpg',
      worker,
    ),
    leave: both(
      'mv /tmp/key-$LAB_NODE_NAME $K8S_UPGRADE_ROOT/etc/apt/keyrings/kubernetes-apt-keyring.gpg',
      worker,
    ),
    calls: [
      { line: update, on: worker, exit: 0, reads: lines(complaints) },
      {
        line: `rm -f $K8S_UPGRADE_ROOT/var/lib/apt/lists/*_deb_*; ${update}`,
        on: worker,
        exit: 100,
        reads: lines(complaints),
      },
    ],
  },
  {
    title: 'a signing key that has expired',
    enter: async (twins) => {
      await twins.run(worker, update);
      const key = readFileSync(join(twins.real.dir, 'gnupg/expired.gpg'));
      await twins.onReal(
        worker,
        `cp ${keyring} /tmp/key && base64 -d <<<${key.toString('base64')} >${keyring}`,
      );
      await twins.onDouble(worker, `cp $K8S_UPGRADE_ROOT${keyring} /tmp/key-$LAB_NODE_NAME`);
      twins.double(worker).expireRepositoryKey();
    },
    leave: both(`mv /tmp/key\${LAB_NODE_NAME:+-$LAB_NODE_NAME} $K8S_UPGRADE_ROOT${keyring}`, worker),
    calls: [{ line: update, on: worker, exit: 0, reads: lines(complaints) }],
  },
  {
    title: 'an installation that was interrupted',
    enter: async (twins) => {
      await twins.run(worker, update);
      await twins.onReal(
        worker,
        `cd /tmp && apt-get -q download kubectl=${from}-1.1 && dpkg --unpack kubectl*.deb && cp $(ls -d /var/lib/dpkg/status) /tmp/status`,
      );
      await twins.onDouble(worker, 'touch $LAB_NODE_DIR/state/dpkg-interrupted');
    },
    calls: [
      { line: '[[ -n $(dpkg --audit) ]]', on: worker, exit: 0, reads: exitCode },
      {
        line: `journal=$K8S_UPGRADE_ROOT/var/lib/dpkg/updates/0001; dpkg-query -s kubelet >$journal 2>/dev/null || : >$journal; ${install} kubeadm=${target}-1.1`,
        on: worker,
        exit: 100,
        reads: lines(/^E:/),
      },
      { line: configure, on: worker, exit: 0, reads: exitCode },
      {
        line: '[[ -z $(dpkg --audit) ]] && ! compgen -G "$K8S_UPGRADE_ROOT/var/lib/dpkg/updates/[0-9]*"',
        on: worker,
        exit: 0,
        reads: exitCode,
      },
    ],
  },
  {
    title: `kubeadm of ${target} on the control-plane node`,
    enter: both(`${update}; apt-mark unhold kubeadm; ${install} kubeadm=${target}-1.1`),
    calls: [
      { line: `dpkg-query -W -f='\${Version}' kubeadm`, exit: 0, reads: everything },
      { line: 'kubeadm version -o short', exit: 0, reads: everything },
      { line: `${debian} apt-mark hold kubeadm`, exit: 0, reads: everything },
      { line: `${install} --allow-change-held-packages kubeadm=${from}-1.1`, exit: 100, reads: lines(/^E:/) },
      { line: `kubeadm upgrade plan v${target}`, exit: 0, reads: says(offers(target)) },
      { line: `kubeadm upgrade diff v${target} 2>/dev/null`, exit: 0, reads: diffs },
      { line: `kubeadm upgrade apply v${target} --yes`, exit: 0, reads: lines(/SUCCESS|Component|^error/) },
      { line: `kubeadm upgrade plan v${target}`, exit: 0, reads: lacks(/kubeadm upgrade apply/) },
      { line: `kubeadm upgrade diff v${target} 2>/dev/null`, exit: 0, reads: lacks(/^([-+]|@@)/m) },
      {
        line: `sed -nE '/^ *image: /{s/.*:v?([^: ]+)$/\\1/p;q}' ${manifests}/kube-apiserver.yaml`,
        exit: 0,
        reads: everything,
      },
      {
        line: `kubeadm upgrade apply v${target} --yes --etcd-upgrade=false`,
        exit: 0,
        reads: lines(/SUCCESS|^error/),
      },
    ],
  },
  {
    title: 'an image that the target needs and the node does not have',
    enter: async (twins) => {
      const name = `registry.k8s.io/kube-scheduler:v${missing}`;
      await twins.onReal('k8s-master', 'echo 127.0.0.1 registry.k8s.io >>/etc/hosts');
      twins.double('k8s-master').faults.set('no-images', { matching: name });
    },
    leave: (twins) => {
      twins.double('k8s-master').faults.clear('no-images');
      return Promise.resolve();
    },
    calls: [
      {
        line: `kubeadm upgrade apply v${missing} --yes 2>&1 | grep -v 'kube-\\(apiserver\\|controller\\|proxy\\)'`,
        exit: 0,
        reads: lines(errors),
      },
    ],
  },
  {
    title: `a worker that follows to ${target}`,
    enter: both(`apt-mark unhold kubeadm kubelet kubectl`, worker),
    calls: [
      {
        line: `${install} kubeadm=${target}-1.1`,
        on: worker,
        exit: 0,
        reads: lines(/^(E:|Unpacking|Setting up)/),
      },
      { line: 'kubeadm upgrade node', on: worker, exit: 0, reads: lacks(new RegExp(errors, 'm')) },
      {
        line: `${install} kubelet=${target}-1.1 kubectl=${target}-1.1`,
        on: worker,
        exit: 0,
        reads: lacks(/^E:/m),
      },
      { line: `${debian} apt-mark hold kubeadm kubelet kubectl`, on: worker, exit: 0, reads: everything },
      {
        line: 'systemctl daemon-reload && systemctl restart kubelet && systemctl is-active --quiet kubelet',
        on: worker,
        exit: 0,
        reads: exitCode,
      },
      { line: 'kubelet --version', on: worker, exit: 0, reads: everything },
    ],
  },
];

const image = (twins: Twins, version: string) =>
  twins.real.kubectl(
    '--namespace=kube-system',
    'set',
    'image',
    'deployment/coredns',
    `coredns=registry.k8s.io/coredns/coredns:v${version}`,
  );

describe('the lab’s programs answer as the real ones', () => {
  let twins: Twins;
  beforeAll(async () => {
    twins = await Twins.start(from, [target]);
  });
  afterAll(() => twins?.stop());

  for (const { title, enter, leave, calls } of situations)
    describe(title, () => {
      beforeAll(async () => {
        await enter?.(twins);
      });
      afterAll(async () => {
        await leave?.(twins);
      });

      it.each(calls)('$line', async ({ line, on = 'k8s-master', exit, reads }) => {
        const { real, double } = await twins.run(on, line);
        const read = (answer: typeof real) => reads(normalized(answer.output));
        const answer = { exit: real.exit, reads: read(real) };
        expect({ exit: double.exit, reads: read(double) }, double.output).toEqual(answer);
        expect(answer, real.output).toEqual({ exit, reads: something });
      });
    });
});

/** Matches what is not empty: a comparison of nothing with nothing shows nothing. */
const something = {
  asymmetricMatch: (value: unknown) =>
    value !== undefined && value !== '' && value !== false && !(Array.isArray(value) && value.length === 0),
};
