/** The deployment behind calls over HTTP/2: a Node program on the codec of this repository. */
import { join } from 'node:path'
import { LOAD_CPU, Program } from '../harness/program.ts'
import type { Deployment } from './deployment.ts'

export const http2Answers: Deployment = async (_folder, port) => {
  const main = join(import.meta.dirname, 'http2-deployment.ts')
  const program = new Program('deployment', LOAD_CPU, [process.execPath, main, String(port)])
  await program.listening(port)
  return program
}
