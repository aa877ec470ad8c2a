/** Asks the proxy that runs with a folder of journals to hand over to the version that this program is of. */
import { connect } from 'node:net'
import { upgradeSocketOf } from '../../proxy/primary/upgrade/door.ts'
import type { Command, UpgradeResult } from '../../proxy/primary/upgrade/successor.ts'
import { nodeErrorCode } from '../../runtime/node-errors.ts'

/** An answer names a process or some problems. */
const MAX_ANSWER_CHARS = 1024 * 1024

/** More than the running proxy gives the new one; one that is stopped itself answers nobody. */
const ANSWER_TIMEOUT_MS = 180_000

/** Resolves when the new version serves, or with what kept it from that. Never rejects. */
export async function askForUpgrade(
  folder: string,
  command: Command,
  timeoutMs = ANSWER_TIMEOUT_MS,
): Promise<UpgradeResult> {
  const path = upgradeSocketOf(folder)
  if (path === undefined) return refused(`the path of ${folder} is too long for a socket`)
  const { promise, resolve } = Promise.withResolvers<UpgradeResult>()
  const socket = connect(path)
  const late = setTimeout(() => {
    resolve(refused(`the running proxy does not answer within ${timeoutMs / 1_000} s`))
    socket.destroy()
  }, timeoutMs)
  let text = ''
  socket.setEncoding('utf8')
  socket.on('connect', () => socket.end(`${JSON.stringify(command)}\n`))
  socket.on('data', (chunk: string) => {
    text += chunk
    if (text.length > MAX_ANSWER_CHARS) socket.destroy()
  })
  socket.on('error', error => resolve(refused(reasonOf(error, path))))
  socket.on('close', () => {
    clearTimeout(late)
    resolve(answerIn(text))
  })
  return promise
}

function answerIn(text: string): UpgradeResult {
  try {
    return JSON.parse(text) as UpgradeResult
  } catch {
    return refused('the running proxy has ended without an answer')
  }
}

function reasonOf(error: Error, path: string): string {
  const code = nodeErrorCode(error)
  if (code === 'ENOENT' || code === 'ECONNREFUSED')
    return `no proxy that can hand over runs with this configuration: nobody listens at ${path}; start one with \`amt proxy\``
  if (code === 'EACCES')
    return `only the user of the running proxy may ask it to hand over: ${path}`
  return `${path}: ${error.message}`
}

function refused(problem: string): UpgradeResult {
  return { ok: false, problems: [problem], exitCode: 1 }
}
