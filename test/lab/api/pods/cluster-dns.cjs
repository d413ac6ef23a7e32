// Loaded into the pods that are processes: their names are the machine's, and of the cluster's there is one.
const dns = require('node:dns/promises');

const { lookup } = dns;
dns.lookup = async (name, ...options) => {
  if (name !== 'kubernetes.default.svc') return lookup(name, ...options);
  if (process.env.LAB_DNS === 'down')
    throw Object.assign(new Error(`getaddrinfo EAI_AGAIN ${name}`), { code: 'EAI_AGAIN' });
  return { address: process.env.KUBERNETES_SERVICE_HOST, family: 4 };
};
