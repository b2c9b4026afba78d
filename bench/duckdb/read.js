// Prints the rows of a query as lines, and on stderr the seconds that it took without the start of Node.js.
import { DuckDBInstance } from '@duckdb/node-api'

const began = performance.now()
const connection = await (await DuckDBInstance.create(':memory:')).connect()
const result = await connection.stream(process.argv[2])
for (let chunk; (chunk = await result.fetchChunk())?.rowCount > 0; ) {
  process.stdout.write(chunk.getRows().map((row) => row.join('\t') + '\n').join(''))
}
console.error((performance.now() - began) / 1000)
