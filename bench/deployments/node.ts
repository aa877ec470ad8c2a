/** The deployment behind uploads and WebSockets: a Node program that looks at what reaches it. */
import { join } from 'node:path'
import { LOAD_CPU, Program } from '../harness/program.ts'
import type { Deployment } from './deployment.ts'

export const nodeDeployment: Deployment = async (_folder, port) => {
  const main = join(import.meta.dirname, 'node-deployment.ts')
  const program = new Program('deployment', LOAD_CPU, [process.execPath, main, String(port)])
  await program.listening(port)
  return program
}
