/**
 * The deployment of all tenants of a scale benchmark: nginx, with the answers of the other lanes. It closes a connection
 * after as many calls as a client makes. So with few tenants the proxy opens as many connections as with many, where the
 * next client of a tenant comes long after its pool has gone, and what is compared is what the tenants cost.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { answerTo } from '../deployments/deployment.ts'
import { nginxConfig } from '../deployments/nginx.ts'
import { LOAD_CPU, Program, requireProgram } from '../harness/program.ts'

export async function startDeployment(
  folder: string,
  port: number,
  callsAConnection: number,
): Promise<Program> {
  const file = join(folder, 'nginx.conf')
  const server = `server {
    listen ${port} backlog=4096;
    keepalive_requests ${callsAConnection};
    location / { return 200 '${answerTo('$http_x_amt_tenant', '$http_x_api_key')}'; }
  }`
  writeFileSync(file, nginxConfig(folder, server))
  const nginx = requireProgram('nginx', 'nginx-light')
  const program = new Program('deployment', LOAD_CPU, [nginx, '-c', file, '-p', folder])
  await program.listening(port)
  return program
}
