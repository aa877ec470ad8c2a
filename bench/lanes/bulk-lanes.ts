/** A gibibyte at a time through one connection: what a byte costs. */
import { bulkFile } from '../deployments/nginx.ts'
import { nodeDeployment } from '../deployments/node.ts'
import { CPU_A_GIB } from '../harness/figure.ts'
import { download, upload } from '../loads/bulk.ts'
import type { Lane } from './lane.ts'

const BY_KEY = { credential: 'api-key', tls: false, tenants: 10, figure: CPU_A_GIB } as const

export const bulkDownload: Lane = {
  ...BY_KEY,
  name: 'bulk-download',
  title: '1 GiB downloads over HTTP/1.1, the tenant by API key',
  traffic: 'download',
  deployment: bulkFile,
  load: download,
  atLeast: {},
}

export const bulkUpload: Lane = {
  ...BY_KEY,
  name: 'bulk-upload',
  title: '1 GiB uploads over HTTP/1.1, the tenant by API key',
  traffic: 'upload',
  deployment: nodeDeployment,
  load: upload,
  atLeast: {},
}

const BY_ADDRESS = {
  traffic: 'tcp',
  credential: 'none',
  tenants: 1,
  deployment: bulkFile,
  load: download,
  figure: CPU_A_GIB,
} as const

export const tcpBulk: Lane = {
  ...BY_ADDRESS,
  name: 'tcp-bulk',
  title: '1 GiB downloads through a TCP tunnel, the tenant by address',
  tls: false,
  atLeast: { haproxy: 1.2 },
}

export const tlsBulk: Lane = {
  ...BY_ADDRESS,
  name: 'tls-bulk',
  title: '1 GiB downloads through a TCP tunnel whose TLS ends in the proxy, the tenant by address',
  tls: true,
  atLeast: { haproxy: 1 },
}
