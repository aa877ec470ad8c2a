/** What stands behind the proxies: the quiet tenant's deployment, which nothing keeps waiting, and the noisy one's. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { answerTo } from '../deployments/deployment.ts'
import { nginxConfig } from '../deployments/nginx.ts'
import { LOAD_CPU, Program, requireProgram } from '../harness/program.ts'

/** nginx, with `prefix` before its command. */
export async function startQuietDeployment(
  parent: string,
  port: number,
  prefix: readonly string[],
): Promise<Program> {
  const folder = join(parent, 'quiet')
  mkdirSync(folder)
  const file = join(folder, 'nginx.conf')
  const body = answerTo('$http_x_amt_tenant', '$http_x_api_key$http_authorization')
  const server = `server {
    listen 127.0.0.1:${port} backlog=4096;
    location / { return 200 '${body}'; }
  }`
  writeFileSync(file, nginxConfig(folder, server))
  const nginx = requireProgram('nginx', 'nginx-light')
  const command = [...prefix, nginx, '-c', file, '-p', folder]
  const program = new Program('quiet deployment', LOAD_CPU, command)
  await program.listening(port)
  return program
}

export async function startNoisyDeployment(port: number): Promise<Program> {
  const main = join(import.meta.dirname, 'noisy-deployment.ts')
  const program = new Program('noisy deployment', LOAD_CPU, [process.execPath, main, String(port)])
  await program.listening(port)
  return program
}
