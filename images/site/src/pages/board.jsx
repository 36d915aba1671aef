import { BoardPicture } from '../components/board-picture.jsx';
import {
  backendNames,
  boards,
  formatRam,
  formatRamRange,
} from '../data/boards.js';

const explain = {
  cranelift:
    'Cranelift compiles the module to machine code before the first request.',
  pulley:
    'There is no native back end for 32-bit Arm. Cranelift compiles the module to bytecode on the board itself, and Pulley interprets it.',
};

export function Board({ item: board }) {
  const index = boards.indexOf(board);
  const previous = boards[index - 1];
  const next = boards[index + 1];
  return (
    <div class="page">
      <p class="crumb">
        <a href="/boards">Boards</a>
      </p>
      <h1>{board.name}</h1>
      <p class="lead">{board.note}</p>
      <div class="board-detail">
        <figure class="board-stage" style={`--mm:${board.size[0]}`}>
          <BoardPicture board={board} />
          <figcaption>{`${board.size.join(' × ')} mm`}</figcaption>
        </figure>
        <dl class="facts">
          <Fact name="Year">{board.year}</Fact>
          <Fact name="SoC">{board.soc}</Fact>
          <Fact name="Processor">
            {`${board.cores} × ${board.core}, ${board.clock}`}
          </Fact>
          <Fact name="Memory">{formatRamRange(board.ram)}</Fact>
          <Fact name="Instruction set">
            {board.systems.map(({ arch }) => arch).join(' or ')}
          </Fact>
        </dl>
      </div>
      <h2>Back end</h2>
      <ul class="backends">
        {board.systems.map(({ os, arch, backend }) => (
          <li key={arch}>
            <b>{backendNames[backend]}</b>
            <span>{`on a ${os} system (${arch}). ${explain[backend]}`}</span>
          </li>
        ))}
      </ul>
      <h2>How many sites fit</h2>
      <p>See the memory budget for this board:</p>
      <ul class="choices">
        {board.ram.map((ram) => (
          <li key={ram}>
            <a href={`/memory?board=${board.id}.${ram}`}>{formatRam(ram)}</a>
          </li>
        ))}
      </ul>
      <nav class="pager" aria-label="Other boards">
        {previous && (
          <a href={`/boards/${previous.id}`} rel="prev">
            {previous.name}
          </a>
        )}
        {next && (
          <a href={`/boards/${next.id}`} rel="next">
            {next.name}
          </a>
        )}
      </nav>
    </div>
  );
}

function Fact({ name, children }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
