import type { Program } from '../harness/program.ts'

/** Starts what stands behind every proxy, with its files in `folder`; it listens on 127.0.0.1 and runs until it is stopped. */
export type Deployment = (folder: string, port: number) => Promise<Program>

/**
 * About 100 bytes. It names the tenant that the proxy set and echoes credentials that reached the deployment: none may.
 * So an answer proves that the call was attributed to the right tenant and that its credential was removed.
 */
export function answerTo(tenant: string, credential: string): string {
  return `{"tenant":"${tenant}","credential":"${credential}","order":4711,"state":"shipped","items":[17,4,2024]}`
}

/** What the deployment says to an upload whose bytes were all right. */
export function uploadAnswer(tenant: string, bytes: number): string {
  return `{"tenant":"${tenant}","bytes":${bytes},"fault":""}`
}
