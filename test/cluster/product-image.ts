/** The image of the runtime: the archive, and the name that it has in it. */
export const productImage = () => ({
  archive: '/tmp/h/devimage/dev.tar',
  name: 'localhost/k8s-version-upgrade:0.1.0',
});
