import { BoardPicture } from '../components/board-picture.jsx';
import { Table } from '../components/scrolling.jsx';
import { backendNames, boards, formatRamRange } from '../data/boards.js';

export function Boards() {
  return (
    <div class="page">
      <h1>Boards</h1>
      <p class="lead">
        Nine Raspberry Pi models, from 2014 to 2023. The image is the same for
        all of them; only the back end differs. Cranelift generates machine code
        for 64-bit processors, and Pulley interprets bytecode where there is no
        native back end.
      </p>
      <ul class="board-grid">
        {boards.map((board) => (
          <li key={board.id} style={`--mm:${board.size[0]}`}>
            <a href={`/boards/${board.id}`}>
              <span class="board-stage">
                <BoardPicture board={board} />
              </span>
              <b>{board.name}</b>
            </a>
            <span>
              {`${board.cores} × ${board.core}, ${formatRamRange(board.ram)}`}
            </span>
          </li>
        ))}
      </ul>
      <h2>Side by side</h2>
      <Table>
        <thead>
          <tr>
            <th scope="col">Board</th>
            <th scope="col">SoC</th>
            <th scope="col">Cores</th>
            <th scope="col">Memory</th>
            <th scope="col">System</th>
            <th scope="col">Back end</th>
          </tr>
        </thead>
        <tbody>
          {boards.map((board) => (
            <tr key={board.id}>
              <th scope="row">
                <a href={`/boards/${board.id}`}>{board.short}</a>
              </th>
              <td>{board.soc}</td>
              <td>{`${board.cores} × ${board.core}`}</td>
              <td>{formatRamRange(board.ram)}</td>
              <td>{board.systems.map(({ os }) => os).join(' or ')}</td>
              <td>
                {board.systems
                  .map(({ backend }) => backendNames[backend])
                  .join(' or ')}
              </td>
            </tr>
          ))}
        </tbody>
      </Table>
    </div>
  );
}
