/** The deployment behind every proxy: nginx, which answers at once and says what it saw. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { LOAD_CPU, Program, requireProgram } from './program.ts'

/**
 * About 100 bytes. It names the tenant that the proxy set and echoes credentials that reached the deployment: none may.
 * So an answer proves that the call was attributed to the right tenant and that its credential was removed.
 */
export function answerTo(tenant: string, credential: string): string {
  return `{"tenant":"${tenant}","credential":"${credential}","order":4711,"state":"shipped","items":[17,4,2024]}`
}

/** An nginx configuration that keeps all its files in `folder` and connections open; `http` goes into its http block. */
export function nginxConfig(folder: string, http: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  return `
worker_processes 1;
daemon off;
pid ${folder}/nginx.pid;
error_log stderr crit;
events { worker_connections 16384; }
http {
  access_log off;
  default_type application/json;
  keepalive_timeout 1h;
  keepalive_requests 1000000000;
  ${temporary.map(kind => `${kind}_temp_path ${folder}/${kind};`).join('\n  ')}
  ${http}
}
`
}

/** Runs until it is stopped. */
export async function startUpstream(folder: string, port: number): Promise<Program> {
  const file = join(folder, 'nginx.conf')
  const body = answerTo('$http_x_amt_tenant', '$http_x_api_key$http_authorization')
  const server = `server { listen 127.0.0.1:${port} backlog=4096; location / { return 200 '${body}'; } }`
  writeFileSync(file, nginxConfig(folder, server))
  const nginx = requireProgram('nginx', 'nginx-light')
  const program = new Program('upstream', LOAD_CPU, [nginx, '-c', file, '-p', folder])
  await program.listening(port)
  return program
}
