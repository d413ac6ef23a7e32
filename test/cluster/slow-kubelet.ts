import type { Node } from './node.ts';

const program = '/usr/local/sbin/slow-kubelet';
/** The file that ends the hold, and the one that shows that there was one. */
const [released, held] = ['/run/slow-kubelet.released', '/run/slow-kubelet.held'];

/**
 * Runs before each start of the kubelet. Before the first start of the release it changes every manifest, so
 * that this kubelet recreates each static pod, as one of another minor does. And it holds the first manifest:
 * with a write lease on a file, the kernel lets whoever opens it wait, for at most 45 s.
 */
const script = (release: string) => `#!/usr/bin/perl
use strict;
use Fcntl qw(F_SETLEASE F_WRLCK);
my @manifests = glob '/etc/kubernetes/manifests/*.yaml';

if (@ARGV) {
  pipe my $ready, my $report;
  if (fork) { close $report; exit(<$ready> ? 0 : 1) }
  $SIG{IO} = 'IGNORE';
  open my $manifest, '<', $manifests[0] or die $!;
  fcntl $manifest, F_SETLEASE, F_WRLCK or die $!;
  print $report "held\\n";
  close $report;
  select undef, undef, undef, 0.05 until -e '${released}';
  exit;
}
exit if \`kubelet --version\` ne "Kubernetes v${release}\\n" or -e '${held}';
system 'touch', '${held}';
system 'sed', '-i', 's/^  labels:$/&\\n    test: slow-kubelet/', @manifests;
# In a unit of its own: systemd ends what is left of this one before it starts the kubelet.
exec 'systemd-run', '--quiet', '--property=Type=forking', $0, 'hold';
`;

/**
 * Makes the next kubelet of a release late on a node: it reports the node as Ready, and cannot read the
 * manifests of its static pods, all of which it will recreate. Resolves with a function that lets it read.
 */
export async function slowDownKubelet(node: Node, release: string): Promise<() => Promise<void>> {
  await node.write(program, script(release), 0o755);
  await node.write(
    '/etc/systemd/system/kubelet.service.d/20-slow.conf',
    `[Service]\nExecStartPre=${program}\n`,
  );
  await node.exec('systemctl', 'daemon-reload');
  return () => node.write(released, '');
}
