/** nginx with one worker: the tenant from a map of keys, a group of kept connections for each tenant. */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { nginxConfig } from '../deployments/nginx.ts'
import { findProgram, PROXY_CPU, Program, requireProgram } from '../harness/program.ts'
import type { Lane } from '../lanes/lane.ts'
import type { Peer, PeerSetup, RunningPeer } from './peer.ts'

export const nginx: Peer = {
  name: 'nginx',
  checks: true,
  absence: ({ credential, traffic, mutual }) => {
    if (mutual) return 'client certificates are compared with HAProxy alone'
    if (traffic === 'tcp') return 'tunnels need its stream module, which is a package of its own'
    if (credential === 'jwt') return 'auth_jwt is in the commercial edition alone'
    return findProgram('nginx') ? undefined : 'nginx is not installed'
  },
  version: () => {
    const { stderr } = spawnSync(requireProgram('nginx'), ['-v'], { encoding: 'utf8' })
    return /nginx\/([\d.]+)/.exec(stderr)?.[1] ?? 'unknown'
  },
  start: async (setup): Promise<RunningPeer> => {
    const file = join(setup.folder, 'nginx.conf')
    writeFileSync(file, nginxConfig(setup.folder, proxyOf(setup)))
    const command = [requireProgram('nginx'), '-c', file, '-p', setup.folder]
    const program = new Program('nginx', PROXY_CPU, command)
    await program.listening(setup.port)
    return { program, stop: async () => program.stop() }
  },
}

const UPGRADE = `proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $http_connection;
      proxy_read_timeout 1h;`

function overHttp1({ traffic }: Lane): string {
  return `proxy_http_version 1.1;
      proxy_set_header Host $host;
      ${traffic === 'websocket' ? UPGRADE : 'proxy_set_header Connection "";'}
      proxy_set_header X-Api-Key "";
      proxy_set_header X-Amt-Tenant $tenant;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_request_buffering off;
      proxy_max_temp_file_size 0;
      proxy_pass http://$tenant;`
}

/** Its one way to an HTTP/2 deployment, for what is not gRPC as well; a connection carries a call at a time. */
const OVER_HTTP2 = `grpc_set_header Host $host;
      grpc_set_header X-Api-Key "";
      grpc_set_header X-Amt-Tenant $tenant;
      grpc_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      grpc_read_timeout 1h;
      grpc_pass grpc://$tenant;`

function proxyOf({ work, upstream, port }: PeerSetup): string {
  const { lane, tls } = work
  const keys = work.tenants.map(({ id, credential }) => `"${credential}" ${id};`)
  const groups = work.tenants.map(
    ({ id }) => `upstream ${id} {
    server 127.0.0.1:${upstream};
    keepalive 64;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
  }`,
  )
  return `
  map_hash_bucket_size 256;
  map $http_x_api_key $tenant {
    default "";
    ${keys.join('\n    ')}
  }
  ${groups.join('\n  ')}
  server {
    listen 127.0.0.1:${port}${tls ? ' ssl' : ''}${lane.http2 ? ' http2' : ''} backlog=4096;
    ${lane.http2 ? 'http2_max_concurrent_streams 1000;' : ''}
    ${tls ? `ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate ${tls.cert}; ssl_certificate_key ${tls.key};` : ''}
    location / {
      if ($tenant = "") { return 401; }
      client_max_body_size 0;
      ${lane.http2?.upstream === 'http2' ? OVER_HTTP2 : overHttp1(lane)}
    }
  }`
}
