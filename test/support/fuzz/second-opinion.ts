/** What Node's own parser (llhttp) says to bytes that the proxy wrote: it must read them as a strict reader does. */
import { METHODS } from 'node:http'
import { type NodeRequestReader, nodeReadsAnswer } from '../node-http.ts'
import type { RecordedRequest } from '../raw-peer.ts'
import type { Fields, StrictAnswer } from '../strict-http1.ts'

const NEXT = Buffer.from('GET /next-one HTTP/1.1\r\nHost: next\r\n\r\n')

function lower(fields: Fields): string {
  return JSON.stringify(fields.map(([name, value]) => [name.toLowerCase(), value]))
}

/** What is wrong with a request that reached the deployment, or ''. */
export async function nodeRequestFault(
  node: NodeRequestReader,
  request: RecordedRequest,
): Promise<string> {
  const { bytes, method, target, fields, body } = request
  // It knows the methods of a list, and no others.
  if (!METHODS.includes(method)) return ''
  const upgrades = fields.some(([name]) => name === 'upgrade')
  // Behind a request for an upgrade it reads no more.
  const { messages, refusal } = await node.read(upgrades ? bytes : Buffer.concat([bytes, NEXT]))
  const [first, second] = messages
  if (first === undefined) return `Node refuses a request that was forwarded: ${refusal}`
  if (first.method !== method || first.target !== target || first.body !== body.toString('latin1'))
    return 'Node reads a request that was forwarded differently'
  if (lower(first.fields) !== lower(fields)) return 'Node reads other fields of a request'
  return upgrades || second?.target === '/next-one' ? '' : 'Node sees another end of a request'
}

/** The same for the bytes that a client got as the answer to one request. */
export async function nodeAnswerFault(
  bytes: Buffer,
  method: string,
  answer: StrictAnswer,
): Promise<string> {
  const { messages, refusal } = await nodeReadsAnswer(bytes, method)
  const [first] = messages
  if (first === undefined) return `Node refuses an answer that was forwarded: ${refusal}`
  if (first.status !== answer.status || first.body !== answer.body.toString('latin1'))
    return 'Node reads an answer that was forwarded differently'
  return lower(first.fields) === lower(answer.fields) ? '' : 'Node reads other fields of an answer'
}
