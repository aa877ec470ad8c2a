import { type FieldTable, hashStep } from '../../src/codec/http1/field-table.ts'
import { RequestHead } from '../../src/codec/http1/request-head.ts'
import { ResponseHead } from '../../src/codec/http1/response-head.ts'
import { ForwardedFields } from '../../src/proxy/forward/fields.ts'
import type { MicroBench, Run } from './measure.ts'
import { BROWSER_REQUEST, REQUEST, RESPONSE, TOKEN_REQUEST } from './messages.ts'

const { request, response } = new ForwardedFields('x-api-key')

export const benches: readonly MicroBench[] = [
  { name: 'request-head', prepare: () => readRequest(REQUEST) },
  { name: 'request-head-with-token', prepare: () => readRequest(TOKEN_REQUEST) },
  { name: 'request-head-of-browser', prepare: () => readRequest(BROWSER_REQUEST) },
  { name: 'response-head', prepare: readResponse },
  { name: 'field-table', prepare: () => findFields(request) },
]

function readRequest(bytes: Buffer): Run {
  const head = new RequestHead(request)
  return times => {
    let read = 0
    for (let time = 0; time < times; time += 1) read += head.read(bytes, 0, bytes.length)
    if (read !== times * bytes.length) throw new Error(`not read: ${head.error}`)
  }
}

function readResponse(): Run {
  const head = new ResponseHead(response)
  return times => {
    let read = 0
    for (let time = 0; time < times; time += 1)
      read += head.read(RESPONSE, 0, RESPONSE.length, false)
    if (read !== times * RESPONSE.length) throw new Error('not read')
  }
}

/** One name that is looked at and one that is not, with their hashes as the scanner has them. */
function findFields(table: FieldTable): Run {
  const bytes = Buffer.from('authorizationaccept-language')
  const end = 'authorization'.length
  const [known, unknown] = [hashOf(bytes, 0, end), hashOf(bytes, end, bytes.length)]
  const slot = table.slotOf('authorization')
  return times => {
    let sum = 0
    for (let time = 0; time < times; time += 1) {
      sum += table.find(known, bytes, 0, end)
      sum += table.find(unknown, bytes, end, bytes.length)
    }
    if (sum !== times * (slot - 1)) throw new Error('other slots')
  }
}

function hashOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0
  for (let at = start; at < end; at += 1) hash = hashStep(hash, bytes[at] as number)
  return hash
}
