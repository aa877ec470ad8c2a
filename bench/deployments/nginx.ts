/** The deployment behind most lanes: nginx, which answers at once and says what it saw, or sends a large file. */
import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { BULK_BYTES, BULK_PATH, makePattern } from '../harness/pattern.ts'
import { LOAD_CPU, Program, requireProgram } from '../harness/program.ts'
import { answerTo, type Deployment } from './deployment.ts'

/** An nginx configuration that keeps all its files in `folder`, as whoever runs it, and connections open; `http` goes into its http block. */
export function nginxConfig(folder: string, http: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  return `
${process.getuid?.() === 0 ? 'user root root;' : ''}
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

/** Small answers. */
export const answers: Deployment = async (folder, port) => start(folder, port, '')

/** Small answers, and one of a gibibyte out of the page cache. */
export const bulkFile: Deployment = async (folder, port) => {
  writeBulkFile(join(folder, BULK_PATH))
  return start(folder, port, `location ${BULK_PATH} { root ${folder}; sendfile on; }`)
}

async function start(folder: string, port: number, location: string): Promise<Program> {
  const file = join(folder, 'nginx.conf')
  const body = answerTo('$http_x_amt_tenant', '$http_x_api_key$http_authorization')
  const server = `server {
    listen 127.0.0.1:${port} backlog=4096;
    location / { return 200 '${body}'; }
    ${location}
  }`
  writeFileSync(file, nginxConfig(folder, server))
  const nginx = requireProgram('nginx', 'nginx-light')
  const program = new Program('deployment', LOAD_CPU, [nginx, '-c', file, '-p', folder])
  await program.listening(port)
  return program
}

function writeBulkFile(path: string): void {
  const pattern = makePattern()
  const file = openSync(path, 'w')
  for (let offset = 0; offset < BULK_BYTES; offset += pattern.length) writeSync(file, pattern)
  closeSync(file)
}
